"""Plans the foot positions of a trotting quadruped.

The order of the legs is front left, front right, back left, back right. A foot position is
relative to its hip: x forward, y left, z up. Diagonal pairs alternate: for half a cycle a pair
is in stance and moves back as the body should move forward; for the other half it swings to its
landing point, half a step ahead.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.norm import norm
from mbrl_jax.types import Array

_OFFSETS = np.array([0, np.pi, np.pi, 0], np.float32)  # phase of each leg, rad


class Trot(NamedTuple):
  """Parameters of a trot.

  Attributes:
    frequency: cycles per second.
    clearance: height of a swinging foot, metres.
    height: height of the hips over the feet on the ground, metres.
    hips: positions of the hips in the body ``[4, 2]``, metres.
    reach: largest distance of a foot from its hip, metres.
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
  """Returns which feet are in stance ``[4]``, bool."""
  return _phases(phase) >= np.pi


def move_feet(
  trot: Trot, feet: Array, phase: Array, shifts: Array, velocity: Array, dt: float
) -> Array:
  """Returns the desired foot positions at ``phase``, ``[4, 3]``, metres.

  Args:
    trot: parameters of the trot.
    feet: desired positions ``dt`` seconds earlier ``[4, 3]``, metres.
    phase: phase of the front left leg ``[]``, rad.
    shifts: offsets of the landing points along x and y, and of the height ``[4, 3]``, metres.
    velocity: velocity of the body along x and y, m/s, and about z, rad/s, ``[3]``.
    dt: time step, seconds.
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
  """Returns the phase of each leg ``[4]``: swing up to pi, then stance."""
  return jnp.mod(phase + _OFFSETS, 2 * np.pi)
