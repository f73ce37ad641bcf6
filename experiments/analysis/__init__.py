"""Curves, tables and statistics of runs."""
