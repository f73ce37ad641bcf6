"""The bridge between planners and robots."""
