"""Tasks of Game-MBRL: a point mass and two arms."""
