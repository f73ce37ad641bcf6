"""Learning curves, tables and statistics of runs."""
