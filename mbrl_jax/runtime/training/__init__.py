"""The host's training loop around a compiled step."""
