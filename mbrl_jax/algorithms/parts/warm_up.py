"""Uniform warm-up actions at the start of a run."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mbrl_jax.types import Array, EnvSpec, Key


def uniform_action(spec: EnvSpec, key: Key) -> Array:
  """Draws an action ``[A]`` between the bounds."""
  low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
  return jax.random.uniform(key, low.shape, minval=low, maxval=high)


def warm_up_actions(count: int, envs: int) -> Array:
  """Splits ``count`` uniform actions evenly over the environments, ``[N]`` int32."""
  return jnp.full(envs, count // envs, jnp.int32)


def decrement(left: Array) -> Array:
  """Returns one less, at least 0."""
  return jnp.maximum(left - 1, 0)
