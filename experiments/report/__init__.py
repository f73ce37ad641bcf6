"""Writes one HTML page about many runs."""
