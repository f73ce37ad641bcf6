"""moteus controllers behind any CAN-FD adapter that python-can drives.

Bus timing is set where the interface is brought up, for SocketCAN with::

  ip link set can0 up type can bitrate 1000000 sample-point 0.666 dbitrate 5000000 \
    dsample-point 0.666 fd on

Adapters of the slcan kind carry no CAN-FD and cannot be used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from hardware.buses.moteus.commands import Reply
from hardware.buses.moteus.frames import Frame, pad
from hardware.buses.moteus.transports.transport import Exchange, TransportError, remaining
from mbrl_jax.ops.extra import import_extra


class PythonCan:
  """A transport over a python-can bus; see ``Transport``."""

  def __init__(self, interface: str, channel: Any, **options: Any) -> None:
    """Opens a bus.

    Args:
      interface: python-can's name of the adapter: ``socketcan``, ``virtual``,
        ``udp_multicast``, ...
      channel: its channel, such as ``can0``.
      options: others of ``can.Bus``.

    Raises:
      ImportError: python-can is not installed.
      TransportError: there is no such bus.
    """
    self.counters: Counter[str] = Counter()
    self._can = import_extra("can", "hardware")
    self._name = f"{interface}:{channel}"
    try:
      self._bus = self._can.Bus(interface=interface, channel=channel, fd=True, **options)
    except (self._can.CanError, OSError) as error:
      raise TransportError(
        f"CAN bus {self._name} cannot be opened ({error}). Bring its interface up with CAN-FD "
        "at 1 Mbit/s and 5 Mbit/s, and check its name and your permissions."
      ) from error

  def cycle(self, frames: Sequence[Frame], deadline: float) -> dict[int, Reply]:
    """See ``Transport.cycle``."""
    exchange = Exchange(frames, self.counters)
    self._discard_late(deadline)
    failures = [error for frame in frames if (error := self._send(frame, exchange, deadline))]
    if failures and len(failures) == len(frames):
      raise self._lost(failures[0]) from failures[0]
    while not exchange.done and (left := remaining(deadline)) > 0:
      message = self._receive(left)
      if message is not None:
        exchange.offer(from_message(message))
    return exchange.finish()

  def close(self) -> None:
    """See ``Transport.close``."""
    self._bus.shutdown()

  def _send(self, frame: Frame, exchange: Exchange, deadline: float) -> Exception | None:
    """Sends a frame; returns why that was impossible, such as a full queue."""
    try:
      self._bus.send(to_message(self._can, frame), timeout=remaining(deadline))
    except (self._can.CanError, OSError) as error:
      exchange.skip(frame)
      return error
    return None

  def _discard_late(self, deadline: float) -> None:
    while remaining(deadline) and self._receive(0.0) is not None:
      self.counters["late"] += 1

  def _receive(self, timeout: float) -> Any:
    """Returns the next data frame, None after ``timeout`` seconds without one."""
    try:
      message = self._bus.recv(timeout)
    except (self._can.CanError, OSError) as error:
      raise self._lost(error) from error
    return None if message is None or message.is_error_frame else message

  def _lost(self, error: Exception) -> TransportError:
    return TransportError(f"CAN bus {self._name} is lost: {error}. Check cable and interface.")


def to_message(can: Any, frame: Frame) -> Any:
  """Returns the python-can message of a frame.

  Args:
    can: the module ``can``.
    frame: to send; it is padded.
  """
  return can.Message(
    arbitration_id=frame.arbitration_id,
    is_extended_id=frame.is_extended,
    data=pad(frame.data),
    is_fd=True,
    bitrate_switch=True,
  )


def from_message(message: Any) -> Frame:
  """Returns the frame in a python-can message."""
  return Frame(message.arbitration_id, bytes(message.data))
