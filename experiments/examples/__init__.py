"""Short programs to copy from: mbrl_jax's tasks and planners in other code."""
