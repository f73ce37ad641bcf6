"""The setpoint that an emulated controller tracks in position mode."""

from __future__ import annotations

import math
from collections.abc import Mapping

from hardware.buses.moteus.registers import Register


class Trajectory:
  """A setpoint that moves with the commanded velocity (moteus reference, 0x020 to 0x028).

  Attributes:
    position: control position, revolutions.
    velocity: control velocity, revolutions per second.
  """

  def __init__(self, command: Mapping[int, float], start: float) -> None:
    """Starts a command.

    Args:
      command: values of the command registers.
      start: position in revolutions to go on from if none is commanded, or if the velocity
        is limited.
    """
    position, speed = command[Register.COMMAND_POSITION], command[Register.COMMAND_VELOCITY]
    self._stop = command[Register.COMMAND_STOP_POSITION]
    self._limit = abs(command[Register.COMMAND_VELOCITY_LIMIT])
    speed = 0.0 if math.isnan(speed) else speed
    self._target = start if math.isnan(position) else position
    if math.isnan(position) and not math.isnan(self._stop):
      speed = math.copysign(speed, self._stop - start)  # towards the stop, whatever its sign
    self._target_velocity = self.velocity = speed
    self.position = self._target if math.isnan(self._limit) else start

  def advance(self, seconds: float) -> None:
    """Moves on by ``seconds``."""
    speed, target = self._target_velocity, self._target
    target += speed * seconds
    if (target - self._stop) * speed > 0:  # never without a stop position, which is NaN
      target, self._target_velocity = self._stop, 0.0
    self._target = target
    if math.isnan(self._limit):
      self.position, self.velocity = target, self._target_velocity
      return
    bound = self._limit * seconds
    moved = max(-bound, min(bound, target - self.position))
    self.position += moved
    self.velocity = moved / seconds if seconds > 0 else 0.0
