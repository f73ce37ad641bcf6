"""Maps actions to targets of position servos with a speed limit."""

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
  """Makes the ``Task.command`` of ROBEL's robots.

  Actions from -1 to 1 map to targets from ``low`` to ``high``, clipped to the angles that the
  joint can reach in a control step.

  Args:
    low, high: targets of the actions -1 and 1, ``[A]``, radians.
    speed: largest speed of a joint, rad/s.
    dt: seconds of a control step.
    first: index into ``qpos`` of the first of the ``A`` consecutive joints.

  Returns:
    ``(PhysicsState, action [A]) -> targets [A]``.
  """
  low, high = np.asarray(low, np.float32), np.asarray(high, np.float32)
  middle, half, reach = (low + high) / 2, (high - low) / 2, np.float32(speed * dt)

  def command(physics: PhysicsState, action: Array) -> Array:
    angles = physics.qpos[first : first + low.size]
    return jnp.clip(middle + half * action, angles - reach, angles + reach)

  return command
