"""Shapes and sizes of the buffers of transitions that algorithms keep."""

from __future__ import annotations

import jax.numpy as jnp

from mbrl_jax.types import EnvSpec, Transition


def blank_transition(spec: EnvSpec) -> Transition:
  """Returns a transition of zeros, for the shapes of a buffer."""
  obs, action = jnp.zeros(spec.obs_dim), jnp.zeros(spec.action_dim)
  flag = jnp.zeros((), bool)
  return Transition(obs, action, jnp.zeros(()), obs, flag, flag)


def check_capacity(capacity: int, batch_size: int) -> int:
  """Returns the capacity of a buffer if a batch fits.

  Raises:
    ValueError: it does not.
  """
  if capacity < batch_size:
    raise ValueError(
      f"capacity={capacity} is smaller than a batch, agent.batch_size={batch_size}."
    )
  return capacity
