"""Uniform actions, with which runs begin."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mbrl_jax.types import Array, EnvSpec, Key


def uniform_action(spec: EnvSpec, key: Key) -> Array:
  """Draws an action ``[A]`` between the bounds."""
  low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
  return jax.random.uniform(key, low.shape, minval=low, maxval=high)


def actions_left(count: int, envs: int) -> Array:
  """Returns how many of ``count`` uniform actions each environment is to take, ``[N]``."""
  return jnp.full(envs, count // envs, jnp.int32)


def one_less(left: Array) -> Array:
  """Returns how many are left after one was taken."""
  return jnp.maximum(left - 1, 0)
