"""ROBEL's tasks: D'Claw and D'Kitty."""
