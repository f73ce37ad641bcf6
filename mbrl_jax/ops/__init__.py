"""Small mathematics that all rings share, and checks of arguments."""
