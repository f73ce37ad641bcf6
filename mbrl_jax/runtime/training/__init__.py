"""The loop around a compiled step."""
