"""Compilation, memory, device meshes and multi-host setup."""
