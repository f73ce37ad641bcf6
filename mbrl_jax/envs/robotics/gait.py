"""Plans where the feet of a trotting quadruped go.

Legs come in the order front left, front right, back left, back right. A foot's place is seen
from its hip: x forward, y left, z up. Diagonal pairs take turns: for half a cycle a pair is on
the ground and moves back as the body should move forward; for the other half it swings to
where it should land, half a step ahead.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.norm import norm
from mbrl_jax.types import Array

_OFFSETS = np.float32([0, np.pi, np.pi, 0])  # of the legs' phases


class Trot(NamedTuple):
  """What a trot looks like.

  Attributes:
    frequency: cycles a second.
    clearance: how high a foot swings, metres.
    height: of the hips over the feet on the ground, metres.
    hips: where they are in the body, ``[4, 2]``, metres.
    reach: how far a foot may be from its hip, metres.
  """

  frequency: float
  clearance: float
  height: float
  hips: np.ndarray
  reach: float


def advance_phase(trot: Trot, phase: Array, dt: float) -> Array:
  """Returns the phase ``dt`` seconds later, in ``[0, 2 pi)``."""
  return jnp.mod(phase + 2 * np.pi * trot.frequency * dt, 2 * np.pi)


def on_the_ground(phase: Array) -> Array:
  """Tells which feet should stand ``[4]``, bool."""
  return _phases(phase) >= np.pi


def move_feet(
  trot: Trot, feet: Array, phase: Array, shifts: Array, velocity: Array, dt: float
) -> Array:
  """Returns where the feet should be at ``phase``, ``[4, 3]``, metres.

  Args:
    trot: what it looks like.
    feet: where they should have been ``dt`` seconds earlier ``[4, 3]``, metres.
    phase: of the front left leg ``[]``, rad.
    shifts: added to where feet land along x and y, and to their height ``[4, 3]``, metres.
    velocity: of the body along x and y, m/s, and about z, rad/s, ``[3]``.
    dt: seconds.
  """
  phases = _phases(phase)
  from_centre = feet[:, :2] + trot.hips
  turning = velocity[2] * jnp.stack([-from_centre[:, 1], from_centre[:, 0]], 1)
  drive = velocity[:2] + turning
  swing = 0.5 / trot.frequency  # s, as long as the stance
  landing = 0.5 * swing * drive + shifts[:, :2]
  left = (1 - phases / np.pi) * swing  # s
  share = (dt / jnp.maximum(left, dt))[:, None]
  swung = feet[:, :2] + share * (landing - feet[:, :2])
  stands = on_the_ground(phase)
  level = jnp.where(stands[:, None], feet[:, :2] - dt * drive, swung)
  lift = jnp.where(stands, 0.0, trot.clearance * jnp.sin(phases))
  placed = jnp.concatenate([level, (lift + shifts[:, 2] - trot.height)[:, None]], 1)
  return placed * jnp.minimum(1.0, trot.reach / norm(placed))[:, None]


def _phases(phase: Array) -> Array:
  """Returns the legs' own phases ``[4]``: a swing up to pi, then a stance."""
  return jnp.mod(phase + _OFFSETS, 2 * np.pi)
