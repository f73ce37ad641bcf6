"""arctan2 and wrap against numpy, and derivatives against JAX."""

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.angle import arctan2, wrap


def points():
  grid = np.float32([-2.0, -1.0, -1e-6, 0.0, 1e-6, 0.5, 1.0, 3.0])
  rng = np.random.default_rng(0)
  pairs = np.array([(y, x) for y in grid for x in grid if (y, x) != (0.0, 0.0)])
  return np.float32(np.concatenate([pairs, rng.normal(size=(1000, 2))])).T


def test_agrees_with_numpy_in_all_directions():
  y, x = points()
  np.testing.assert_allclose(arctan2(y, x), np.arctan2(y, x), rtol=3e-7, atol=1e-7)


def test_the_origin_has_angle_zero():
  assert float(arctan2(jnp.float32(0), jnp.float32(0))) == 0.0


def test_gradient_agrees_with_jax_also_on_the_axes():
  y, x = points()
  gradient = jax.vmap(jax.grad(arctan2, (0, 1)))(y, x)
  expected = jax.vmap(jax.grad(jnp.arctan2, (0, 1)))(y, x)
  np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_wrap_keeps_the_direction_within_half_a_turn():
  angle = np.float32(np.random.default_rng(1).uniform(-20, 20, 1000))
  wrapped = np.asarray(wrap(angle))
  assert (np.abs(wrapped) <= np.float32(np.pi)).all()
  np.testing.assert_allclose(np.sin(wrapped), np.sin(angle), atol=1e-5)
  np.testing.assert_allclose(np.cos(wrapped), np.cos(angle), atol=1e-5)
