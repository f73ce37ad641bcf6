"""What the benchmark measures, one file for each ``--what``."""
