"""Dynamics and tasks from the user's MuJoCo models."""
