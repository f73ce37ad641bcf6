"""Shapes and sizes of the buffers of transitions that algorithms keep."""

from __future__ import annotations

import jax.numpy as jnp

from mbrl_jax.ops.validate import ArgumentError
from mbrl_jax.types import EnvSpec, Transition


def blank_transition(spec: EnvSpec) -> Transition:
  """Returns a transition of zeros, for the shapes of a buffer."""
  obs, action = jnp.zeros(spec.obs_dim), jnp.zeros(spec.action_dim)
  flag = jnp.zeros((), bool)
  return Transition(obs, action, jnp.zeros(()), obs, flag, flag)


def check_capacity(capacity: int, steps: int, batch_size: int) -> int:
  """Returns the capacity of a buffer, all ``steps`` for 0, if a batch fits.

  Raises:
    ArgumentError: it does not.
  """
  name, size = ("capacity", capacity) if capacity else ("steps", steps)
  if size < batch_size:
    batch = "agent.batch_size", batch_size
    raise ArgumentError(name, size, "is smaller than a batch, {}.", batch)
  return size
