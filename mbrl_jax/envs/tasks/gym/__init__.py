"""Gymnasium's MuJoCo tasks."""
