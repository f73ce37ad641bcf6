"""Bridge between planners and robots."""
