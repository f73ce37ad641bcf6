"""What emulated controllers move. Time is given by the caller; there is no clock here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from mbrl_jax.ops.validate import ArgumentError, between, positive


class Physics(Protocol):
  """A plant of joints, each driven by one controller.

  Attributes:
    positions: revolutions of each joint, [joints].
    velocities: revolutions per second of each joint, [joints].
  """

  positions: np.ndarray
  velocities: np.ndarray

  def advance(self, seconds: float, torques: Sequence[float]) -> None:
    """Moves on.

    Args:
      seconds: to move on, a few milliseconds at most.
      torques: N m at each joint, constant for that long, [joints].
    """


class Inertia:
  """Independent joints with an inertia and viscous friction; see ``Physics``.

  ``inertia * acceleration = torque - friction * velocity``, in radians, solved exactly for a
  constant torque, so that any step is stable.
  """

  def __init__(self, joints: int, inertia: float = 0.01, friction: float = 0.02) -> None:
    """Makes joints at rest at position 0.

    Args:
      joints: their number.
      inertia: kg m^2 of each.
      friction: N m s / rad of each.

    Raises:
      ArgumentError: an argument is not positive.
    """
    positive(joints=joints, inertia=inertia, friction=friction)
    self.positions = np.zeros(joints)
    self.velocities = np.zeros(joints)
    self._rate, self._inertia = friction / inertia, inertia

  def advance(self, seconds: float, torques: Sequence[float]) -> None:
    """See ``Physics.advance``.

    Raises:
      ArgumentError: the number of torques is another, or ``seconds`` is negative.
    """
    between(0, math.inf, seconds=seconds)
    if len(torques) != len(self.positions):
      raise ArgumentError("torques", len(torques), f"must be {len(self.positions)} numbers.")
    acceleration = np.asarray(torques, float) / (2 * math.pi * self._inertia)
    decay = math.exp(-self._rate * seconds)
    mean = -math.expm1(-self._rate * seconds) / self._rate  # integral of the decay
    self.positions = (
      self.positions + self.velocities * mean + acceleration * (seconds - mean) / self._rate
    )
    self.velocities = self.velocities * decay + acceleration * mean
