"""Turns actions into targets of position servos that are moved at a limited speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.types import Array


def servo_command(
  low: Any, high: Any, *, speed: float, dt: float, first: int = 0
) -> Callable[[PhysicsState, Array], Array]:
  """Makes a ``Task.command`` as ROBEL's robots have it.

  Actions -1 to 1 stand for targets from ``low`` to ``high``. A target that is further from
  where its joint is now than it may move in a control step is brought that near.

  Args:
    low, high: targets of the actions -1 and 1, ``[A]``, radians.
    speed: a joint's limit, rad/s.
    dt: seconds of a control step.
    first: index into ``qpos`` of the first of the ``A`` joints, which follow each other.

  Returns:
    ``(PhysicsState, action [A]) -> targets [A]``.
  """
  low, high = np.float32(low), np.float32(high)
  middle, half, reach = (low + high) / 2, (high - low) / 2, np.float32(speed * dt)

  def command(physics: PhysicsState, action: Array) -> Array:
    angles = physics.qpos[first : first + low.size]
    return jnp.clip(middle + half * action, angles - reach, angles + reach)

  return command
