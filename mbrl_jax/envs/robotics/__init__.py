"""Kinematics, gaits, servos, terrain and goals shared by several tasks."""
