"""Compares planners over exact models."""
