"""Wire protocols."""
