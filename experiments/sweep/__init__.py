"""Trains all combinations of given values."""
