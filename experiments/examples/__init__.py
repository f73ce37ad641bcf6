"""Short programs to copy from: mbrl_jax's planners inside other code."""
