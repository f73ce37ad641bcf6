"""Compilation, memory and meshes of devices."""
