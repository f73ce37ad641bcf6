"""Tanh-Gaussian policies.

The net maps an observation to mean and log standard deviation ``[2 A]`` of a Gaussian over
``u``; the action is ``tanh(u)``, within -1 and 1, then scaled to the bounds.

Source: Haarnoja et al. 2018, "Soft Actor-Critic", appendix C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mbrl_jax.networks.mlp import MLP
from mbrl_jax.types import Array, Params

LOG_STD = (-20.0, 2.0)
"""Bounds of the log standard deviation."""


def make_net(outputs: int, hidden: Sequence[int], precision: str = "float32") -> MLP:
  """Makes the ReLU net of actors and critics."""
  init = nn.initializers.lecun_uniform()
  return MLP((*hidden, outputs), "relu", precision, kernel_init=init)


def gaussian(net: MLP, params: Params, obs: Array) -> tuple[Array, Array]:
  """Returns mean and log standard deviation ``[..., A]`` before squashing."""
  out: Any = net.apply({"params": params}, obs)  # flax's type allows for mutable state, too
  mean, log_std = jnp.split(out, 2, -1)
  return mean, jnp.clip(log_std, *LOG_STD)


def squash(mean: Array, log_std: Array, noise: Array) -> tuple[Array, Array]:
  """Returns actions ``tanh(mean + std noise) [..., A]`` and their log-density ``[...]``.

  ``log(1 - tanh(u)^2)`` is computed as ``2 (log 2 - u - softplus(-2 u))``, which stays
  accurate near the bounds.
  """
  u = mean + jnp.exp(log_std) * noise
  log_normal = -0.5 * jnp.square(noise) - log_std - 0.5 * math.log(2 * math.pi)
  log_slope = 2 * (math.log(2) - u - jax.nn.softplus(-2 * u))
  return jnp.tanh(u), jnp.sum(log_normal - log_slope, -1)


def to_bounds(action: Array, low: Array, high: Array) -> Array:
  """Scales an action from ``[-1, 1]`` to the bounds."""
  return low + (action + 1) / 2 * (high - low)


def from_bounds(action: Array, low: Array, high: Array) -> Array:
  """Scales an action from the bounds to ``[-1, 1]``."""
  return 2 * (action - low) / (high - low) - 1
