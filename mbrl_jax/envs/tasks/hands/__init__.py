"""In-hand manipulation tasks."""
