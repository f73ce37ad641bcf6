"""Benchmarks of speed and memory, with other libraries for comparison."""
