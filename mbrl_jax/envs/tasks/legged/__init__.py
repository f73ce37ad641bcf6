"""M-DeMoRL's leg and quadruped."""
