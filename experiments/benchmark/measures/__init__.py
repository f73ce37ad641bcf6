"""Measurements of the benchmark, one module for each ``--what``."""
