"""Environments that live on the host, as if they were pure functions."""
