"""What the registers of a servo make its motor do: operating modes, profiles, limits.

Electrical figures: XM430-W210 at 12 V (e-Manual): 3.0 N m at 2.3 A, 77 rpm without load. The
loops of the real firmware are not published; these have their gains' scale, not their dynamics.
"""

from __future__ import annotations

import math

from hardware.buses.dynamixel.registers import (
  AMPERE,
  CURRENT,
  CURRENT_POSITION,
  PWM_MODE,
  RAD,
  RAD_PER_S,
  RAD_PER_S2,
  VELOCITY,
)
from hardware.emulators.dynamixel.physics import IDLE, Drive
from hardware.emulators.dynamixel.table import ControlTable

STALL = 3.0
"""Stall torque at 12 V, N m."""
TORQUE_CONSTANT = STALL / 2.3
"""N m per ampere."""
EMF = STALL / (77 * 2 * math.pi / 60)
"""Torque lost per speed at full voltage, N m s / rad."""
FULL_PWM = 885
POSITION_GAIN = STALL / FULL_PWM / 128 / RAD
"""N m / rad per unit of ``position_p_gain``: PWM is gain / 128 times the error in ticks."""
VELOCITY_GAIN = 0.02
"""N m s / rad per unit of ``velocity_p_gain`` (assumed; stands for the integral part, too)."""


class Motion:
  """The moving set point of one servo and the drive that follows it.

  Attributes:
    position: of the trajectory, rad.
    velocity: of the trajectory, rad/s.
    offset: ticks that the registers count beyond the shaft's own.
  """

  def __init__(self, table: ControlTable):
    self._table = table
    self.position, self.velocity, self.offset = 0.0, 0.0, 0

  def hold(self, position: float) -> None:
    """Lets the trajectory start at ``position``, at rest."""
    self.position, self.velocity = position, 0.0

  def advance(self, seconds: float) -> None:
    """Moves the trajectory towards the goal with the profile's speed and acceleration."""
    table = self._table
    acceleration = table["profile_acceleration"] * RAD_PER_S2
    speed = table["profile_velocity"] * RAD_PER_S
    if table["operating_mode"] == VELOCITY:
      goal = table["goal_velocity"] * RAD_PER_S
      change = goal - self.velocity
      most = acceleration * seconds if acceleration else abs(change)
      self.velocity += max(-most, min(most, change))
      return
    goal = (table["goal_position"] - self.offset) * RAD
    top = table["velocity_limit"] * RAD_PER_S
    speed = min(speed, top) if speed else 0.0
    if not speed:  # the manual: 0 is no limit, and no acceleration either
      self.position, self.velocity = goal, 0.0
      return
    self._approach(goal, speed, acceleration, seconds)

  def _approach(self, goal: float, speed: float, acceleration: float, seconds: float) -> None:
    """Moves at most at ``speed``, slowing down in time."""
    distance = goal - self.position
    wanted = math.copysign(speed, distance)
    if acceleration:
      # The speed from which it can still stop at the goal if it keeps it for this step.
      root = math.sqrt(seconds**2 + 2 * abs(distance) / acceleration)
      braking = acceleration * (root - seconds)
      wanted = math.copysign(min(speed, braking), distance)
      most = acceleration * seconds
      wanted = self.velocity + max(-most, min(most, wanted - self.velocity))
    step = wanted * seconds
    if abs(step) >= abs(distance) and step * distance >= 0:
      self.position, self.velocity = goal, 0.0
    else:
      self.position, self.velocity = self.position + step, wanted

  def drive(self, voltage: float) -> Drive:
    """Returns what the motor is made to do.

    Args:
      voltage: of the supply, relative to 12 V.
    """
    table = self._table
    mode = table["operating_mode"]
    if not table["torque_enable"]:
      return IDLE
    full = STALL * voltage
    stall = full * min(abs(table["goal_pwm"]), table["pwm_limit"]) / FULL_PWM
    unlimited = full * 10  # the current is limited in two modes only
    if mode == PWM_MODE:
      torque = full * table["goal_pwm"] / FULL_PWM
      return Drive(damping=EMF, torque=torque, stall=full, emf=EMF, limit=unlimited)
    current = min(abs(table["goal_current"]), table["current_limit"]) * AMPERE
    if mode == CURRENT:
      torque = math.copysign(current, table["goal_current"]) * TORQUE_CONSTANT
      return Drive(torque=torque, stall=stall, emf=EMF, limit=unlimited)
    if mode == VELOCITY:
      gain = VELOCITY_GAIN * table["velocity_p_gain"]
      target = self.velocity
      return Drive(damping=gain, goal_velocity=target, stall=stall, emf=EMF, limit=unlimited)
    stiffness = POSITION_GAIN * table["position_p_gain"] * voltage
    limit = current * TORQUE_CONSTANT if mode == CURRENT_POSITION else unlimited
    goal = self.position
    return Drive(stiffness, EMF, goal, 0.0, 0.0, stall, EMF, limit)
