"""Physics backends: MuJoCo C, MJX, Warp and closed-form equations."""
