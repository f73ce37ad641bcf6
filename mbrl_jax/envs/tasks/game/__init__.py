"""Game-MBRL's point mass and arms."""
