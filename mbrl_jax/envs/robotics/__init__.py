"""Kinematics, gaits, servos, terrain and goals that several tasks share."""
