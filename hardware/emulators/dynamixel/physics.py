"""Motor physics: what a servo asks of its motor, and a plain plant without contacts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mbrl_jax.ops.validate import positive

STEP = 1e-3
"""Seconds of one step of ``RotorPlant``."""
LONGEST_ADVANCE = 1.0
"""Seconds that are simulated at most at once, after a pause of the process."""


@dataclass(frozen=True, slots=True)
class Drive:
  """What a servo makes its motor do until the next drive.

  The torque is ``stiffness (goal - q) + damping (goal_velocity - v) + torque``. The supply
  voltage limits it to ``+-stall - emf v``, the current to ``+-limit``.

  Attributes:
    stiffness: N m / rad.
    damping: N m s / rad.
    goal: rad.
    goal_velocity: rad/s.
    torque: feed-forward, N m.
    stall: torque at rest that the voltage allows, N m.
    emf: loss of torque by speed, N m s / rad.
    limit: torque that the current allows, N m.
  """

  stiffness: float = 0.0
  damping: float = 0.0
  goal: float = 0.0
  goal_velocity: float = 0.0
  torque: float = 0.0
  stall: float = 0.0
  emf: float = 0.0
  limit: float = 0.0


IDLE = Drive()
"""The drive of a servo without torque."""


class Plant(Protocol):
  """The bodies that ``n`` motors move, such as a MuJoCo model.

  Attributes:
    positions: of the output shafts, ``[n]``, rad.
    velocities: ``[n]``, rad/s.
    torques: that the motors exerted last, ``[n]``, N m.
  """

  positions: np.ndarray
  velocities: np.ndarray
  torques: np.ndarray

  def advance(self, seconds: float, drives: Sequence[Drive]) -> None:
    """Simulates ``seconds`` under the drives of the ``n`` motors."""


def motor_torque(drives: np.ndarray, q: np.ndarray, v: np.ndarray) -> np.ndarray:
  """Returns the torques of motors, ``[n]``.

  Args:
    drives: from ``stack``, ``[8, n]``.
    q: positions, ``[n]``.
    v: velocities, ``[n]``.
  """
  stiffness, damping, goal, goal_velocity, torque, stall, emf, limit = drives
  wanted = stiffness * (goal - q) + damping * (goal_velocity - v) + torque
  loss = emf * v
  possible = np.minimum(np.maximum(wanted, -stall - loss), stall - loss)
  return np.minimum(np.maximum(possible, -limit), limit)


def stack(drives: Sequence[Drive]) -> np.ndarray:
  """Returns the attributes of ``n`` drives in their order, ``[8, n]``."""
  rows = (
    (d.stiffness, d.damping, d.goal, d.goal_velocity, d.torque, d.stall, d.emf, d.limit)
    for d in drives
  )
  return np.array([*rows], float).reshape(-1, 8).T


class RotorPlant:
  """Independent rotors with inertia, friction, and a load that tests can set.

  Attributes:
    load: torques from outside, ``[n]``, N m.
  """

  def __init__(
    self, size: int, inertia: float = 0.01, friction: float = 0.03, damping: float = 0.01
  ):
    """Makes ``size`` rotors at rest, at the middle of their encoder (180 degrees).

    Args:
      size: number of motors.
      inertia: at the output shaft, kg m^2.
      friction: Coulomb friction, N m.
      damping: viscous friction, N m s / rad.

    Raises:
      ArgumentError: no rotor, or no inertia.
    """
    positive(size=size, inertia=inertia)
    self.positions, self.velocities = np.full(size, math.pi), np.zeros(size)
    self.torques, self.load = np.zeros(size), np.zeros(size)
    self._inertia, self._friction, self._damping = inertia, friction, damping

  def advance(self, seconds: float, drives: Sequence[Drive]) -> None:
    """See ``Plant``."""
    steps = math.ceil(min(seconds, LONGEST_ADVANCE) / STEP)
    if steps <= 0:
      return
    dt, stacked = min(seconds, LONGEST_ADVANCE) / steps, stack(drives)
    # Explicit integration is stable only up to this damping.
    stacked[1] = np.minimum(stacked[1], 0.5 * self._inertia / dt)
    q, v, slow = self.positions, self.velocities, dt * self._friction / self._inertia
    for _ in range(steps):
      torque = motor_torque(stacked, q, v)
      free = v + dt * (torque + self.load - self._damping * v) / self._inertia
      v = np.sign(free) * np.maximum(np.abs(free) - slow, 0.0)
      q = q + dt * v
    self.positions, self.velocities, self.torques = q, v, torque
