"""Dynamics and tasks from MuJoCo models of your own."""
