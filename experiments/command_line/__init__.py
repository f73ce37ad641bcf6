"""Parses flags, refuses wrong ones, finds tasks and outputs: what all programs share."""
