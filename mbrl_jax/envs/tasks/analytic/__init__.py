"""Tasks with closed-form dynamics."""
