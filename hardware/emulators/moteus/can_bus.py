"""Emulated controllers on a python-can bus, such as ``virtual`` or ``udp_multicast``."""

from __future__ import annotations

import contextlib
from typing import Any

from hardware.buses.moteus.frames import Frame
from hardware.buses.moteus.transports.python_can import from_message, to_message
from hardware.emulators.moteus.bench import Bench
from hardware.emulators.moteus.carrier import Carrier
from mbrl_jax.ops.extra import import_extra


class CanBus(Carrier):
  """A carrier on a CAN bus; see ``Carrier``.

  CAN protects frames by a CRC, and a frame with a flipped bit reaches nobody: ``bit_flip``
  drops the reply. ``unplugged`` keeps frames from passing in both directions.
  """

  def __init__(self, bench: Bench, interface: str, channel: Any, **options: Any) -> None:
    """Opens a bus.

    Args:
      bench: controllers to connect to it.
      interface: python-can's name, such as ``virtual``.
      channel: its channel.
      options: others of ``can.Bus``.

    Raises:
      ImportError: python-can is not installed.
    """
    super().__init__(bench)
    self._can = import_extra("can", "hardware")
    self._bus = self._can.Bus(interface=interface, channel=channel, fd=True, **options)

  def _receive(self, timeout: float) -> list[Frame]:
    message = self._bus.recv(timeout)
    return [] if message is None or message.is_error_frame else [from_message(message)]

  def _transmit(self, frame: Frame) -> None:
    if not self.bench.faults.take("bit_flip", frame.source):
      with contextlib.suppress(self._can.CanError, OSError):  # nobody can hear it
        self._bus.send(to_message(self._can, frame), timeout=0.1)

  def _close(self) -> None:
    self._bus.shutdown()
