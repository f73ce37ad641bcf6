"""Devices that speak the real bytes, emulated."""
