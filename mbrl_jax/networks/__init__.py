"""Neural networks, used only through init and apply."""
