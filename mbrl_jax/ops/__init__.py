"""Shared mathematics and argument checks."""
