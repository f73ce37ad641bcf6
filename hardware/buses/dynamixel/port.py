"""A serial port whose reads sleep until bytes come or a deadline passes."""

from __future__ import annotations

import os
import select
import stat
import time
from types import TracebackType
from typing import Any

from hardware.buses.dynamixel.registers import BAUD_RATES
from mbrl_jax.ops.extra import import_extra
from mbrl_jax.ops.validate import choice

BITS_PER_BYTE = 10
"""Start bit, eight bits, stop bit."""


class PortError(ConnectionError):
  """The port cannot be opened, or it has gone."""


class Port:
  """A serial port of Linux or macOS, opened for this process alone.

  Attributes:
    path: such as ``/dev/ttyUSB0``.
    baud: bits per second.
    low_latency: the driver was told to pass on bytes at once. Without, an FTDI adapter collects
      them for up to 16 ms (its file ``latency_timer``).
  """

  def __init__(self, path: str, baud: int = 1_000_000):
    """Opens the port.

    Args:
      path: of the device, or of a pseudo-terminal.
      baud: one of ``BAUD_RATES``.

    Raises:
      ArgumentError: no such baud rate.
      PortError: no such port, no permission, or in use; says what to do.
      ImportError: pyserial is not installed.
    """
    self.path, self.baud = path, choice("baud", baud, BAUD_RATES.values())
    self._serial = _open(path, baud)
    self._fd: int = self._serial.fileno()
    self.low_latency = _set_low_latency(self._serial)

  def wire_time(self, size: int) -> float:
    """Returns the seconds that ``size`` bytes take on the wire."""
    return size * BITS_PER_BYTE / self.baud

  def send(self, data: bytes) -> None:
    """Writes all of ``data``.

    Raises:
      PortError: the port has gone.
    """
    try:
      while data:
        data = data[os.write(self._fd, data) :]
    except BlockingIOError as error:
      raise PortError(f"{self.path} takes no more bytes: is the adapter stuck?") from error
    except OSError as error:
      raise self._gone(error) from error

  def receive(self, deadline: float) -> bytes:
    """Returns what has arrived, as soon as something has; empty after the deadline.

    Args:
      deadline: ``time.monotonic()`` at which to give up; what is there is returned even later.

    Raises:
      PortError: the port has gone.
    """
    try:
      wait = max(deadline - time.monotonic(), 0.0)
      if not select.select([self._fd], [], [], wait)[0]:
        return b""
      data = os.read(self._fd, 4096)
    except (OSError, ValueError) as error:
      raise self._gone(error) from error
    if not data:
      raise self._gone("it returned the end of a file")
    return data

  def close(self) -> None:
    """Closes the port; may be called twice."""
    self._fd = -1
    self._serial.close()

  def __enter__(self) -> Port:
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self.close()

  def _gone(self, reason: object) -> PortError:
    if self._fd < 0:
      return PortError(f"{self.path} was closed; open it again.")
    return PortError(f"{self.path} has gone ({reason}): was it unplugged? Open it again.")


def _open(path: str, baud: int) -> Any:
  """Opens a port with pyserial, whose errors it explains."""
  serial = import_extra("serial", "hardware")
  try:
    return serial.Serial(path, baud, timeout=0, exclusive=True)
  except (serial.SerialException, OSError, ValueError) as error:
    raise PortError(_reason(path, baud, error)) from error


def _reason(path: str, baud: int, error: Exception) -> str:
  """Returns why ``path`` could not be opened, and what to do."""
  if not os.path.exists(path):
    list_ports = import_extra("serial.tools.list_ports", "hardware")
    ports = ", ".join(sorted(p.device for p in list_ports.comports())) or "none"
    return f"{path} does not exist. Serial ports here: {ports}. Is the adapter plugged in?"
  if not stat.S_ISCHR(os.stat(path).st_mode):
    return f"{path} is not a serial port."
  if not os.access(path, os.R_OK | os.W_OK):
    group = _group(path)
    return (
      f"{path} may not be opened: it belongs to the group {group!r}. Join it with "
      f"'sudo usermod -a -G {group} $USER', then log in again."
    )
  if "lock" in str(error):
    return f"{path} is in use by another program; close that one."
  return f"{path} cannot be opened at {baud} baud: {error}"


def _group(path: str) -> str:
  """Returns the name of the group that owns ``path``, such as dialout."""
  import grp  # absent where there are no groups

  number = os.stat(path).st_gid
  try:
    return grp.getgrgid(number).gr_name
  except KeyError:
    return str(number)


def _set_low_latency(port: Any) -> bool:
  """Asks the driver to pass on bytes at once; reports whether it does."""
  try:
    port.set_low_latency_mode(True)
  except (AttributeError, OSError, ValueError):  # no such driver, such as a pseudo-terminal
    return False
  return True
