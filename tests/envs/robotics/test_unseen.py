"""Learned models predict the next value of what they do not see."""

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs import make_env


def test_a_model_with_small_errors_does_not_accumulate_velocities():
  """Ten decoded steps of noisy targets: velocities stay within one error of the true ones."""
  spec, key = make_env("dclaw_turn").spec, jax.random.key(0)
  states = jax.random.normal(key, (11, spec.obs_dim))
  errors = 0.1 * np.sign(jax.random.normal(jax.random.key(1), (10, spec.obs_dim)))
  errors[:, 18] = 0.1  # always in one direction
  imagined = states[0]
  for before, after, error in zip(states[:-1], states[1:], errors, strict=True):
    imagined = spec.decode(imagined, spec.target(before, after) + error)
  off = jnp.abs(imagined - states[-1])
  assert off[9:18].max() < 0.11
  np.testing.assert_allclose(off[18], 1.0, rtol=1e-3)  # changes add up
