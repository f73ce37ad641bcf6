"""Emulated controllers on one plant, with faults. It has no clock; carriers give it time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hardware.buses.moteus.frames import Frame
from hardware.emulators.fault_switch import FaultSwitch
from hardware.emulators.moteus.controller import Controller
from hardware.emulators.moteus.physics import Physics
from mbrl_jax.ops.validate import ArgumentError, between, positive

FAULTS = {
  "drop": "the command is executed, its reply is lost",
  "delay": "the reply comes DELAY seconds late",
  "bit_flip": "a bit flips on the way: CAN's CRC rejects the frame; a serial line keeps it",
  "duplicate": "the reply comes twice",
  "stale": "the reply is the one before",
  "truncated": "the second half of the reply is missing, as from a faulty adapter",
  "silent": "the controller hears nothing and says nothing; its watchdog expires",
  "unplugged": "the whole bus is gone; a serial port raises errors from then on",
  "over_temperature": "the board is hotter than the controller permits: fault 38",
  "voltage_dip": "the supply is below what the controller needs: fault 40",
}
"""Faults of an emulated bus, of one controller if ``FaultSwitch.start`` names its id."""
DELAY = 0.05
"""Seconds by which ``delay`` is late."""


class Bench:
  """Controllers, one per joint of a plant.

  Attributes:
    controllers: in the order of the joints.
    physics: what they move.
    faults: switches of ``FAULTS``.
  """

  def __init__(
    self, controllers: Sequence[Controller], physics: Physics, step: float = 0.001
  ) -> None:
    """Connects controllers to the joints of a plant.

    Args:
      controllers: one per joint.
      physics: the plant.
      step: seconds between two evaluations of the control law; on the device 1/30,000.

    Raises:
      ArgumentError: numbers of controllers and joints differ, two have one id, or ``step`` is
        not positive.
    """
    positive(step=step)
    ids = [controller.id for controller in controllers]
    if len(ids) != len(physics.positions):
      joints = ("joints", len(physics.positions))
      raise ArgumentError("controllers", len(ids), "must be as many as {}.", joints)
    if len(set(ids)) < len(ids):
      raise ArgumentError("controllers", ids, "must have ids of their own.")
    self.controllers, self.physics, self.faults = controllers, physics, FaultSwitch(FAULTS)
    self._step, self._supply = step, [(c.voltage, c.temperature) for c in controllers]
    self._sense()

  def advance(self, seconds: float) -> None:
    """Lets time pass.

    Args:
      seconds: since the last call.
    """
    between(0, math.inf, seconds=seconds)
    self._disturb()
    while seconds > 0:
      step = min(self._step, seconds)
      for controller in self.controllers:
        controller.advance(step)
      self.physics.advance(step, [controller.torque() for controller in self.controllers])
      self._sense()
      seconds -= step

  def handle(self, frame: Frame) -> list[Frame]:
    """Gives a frame to the controllers that hear it and returns their replies."""
    if self.faults.is_on("unplugged"):
      return []
    hear = [c for c in self.controllers if not self.faults.is_on("silent", c.id)]
    replies = [controller.handle(frame) for controller in hear]
    return [reply for reply in replies if reply is not None]

  def _sense(self) -> None:
    states = zip(self.controllers, self.physics.positions, self.physics.velocities, strict=True)
    for controller, position, velocity in states:
      controller.sense(position, velocity)

  def _disturb(self) -> None:
    """Sets supply and temperature, which faults change."""
    for controller, (voltage, temperature) in zip(self.controllers, self._supply, strict=True):
      hot = self.faults.is_on("over_temperature", controller.id)
      dip = self.faults.is_on("voltage_dip", controller.id)
      config = controller.config
      controller.temperature = config.fault_temperature + 5 if hot else temperature
      controller.voltage = 0.8 * config.minimum_voltage if dip else voltage
