"""Emulated Dynamixel X-series servos on a pseudo-terminal."""
