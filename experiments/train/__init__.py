"""Trains an algorithm on a task into a run folder."""
