"""Tasks of M-DeMoRL: a leg and a quadruped."""
