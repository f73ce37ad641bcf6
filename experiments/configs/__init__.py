"""Presets of the algorithms, as plain data."""
