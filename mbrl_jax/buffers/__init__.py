"""Replay buffers as pure functions."""
