"""Neural networks as flax.linen modules."""
