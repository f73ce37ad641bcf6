"""In-hand manipulation."""
