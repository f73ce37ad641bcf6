"""What moves a task: MuJoCo C, MJX, Warp, or equations of its own."""
