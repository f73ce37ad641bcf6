"""Environments on the host as pure functions."""
