"""Emulated moteus controllers."""
