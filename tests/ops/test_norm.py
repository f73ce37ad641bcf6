"""Euclidean norm against numpy, and its gradient at zero."""

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.norm import norm


def test_agrees_with_numpy():
  x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
  np.testing.assert_allclose(norm(x), np.linalg.norm(x, axis=-1), rtol=1e-6)
  assert norm(jnp.zeros(3)) == 0 and np.isnan(norm(jnp.array([jnp.nan, 0.0])))


def test_gradient_is_the_direction_and_zero_at_zero():
  np.testing.assert_allclose(jax.grad(norm)(jnp.array([3.0, 4.0])), [0.6, 0.8], rtol=1e-6)
  np.testing.assert_array_equal(jax.grad(norm)(jnp.zeros(2)), 0)
