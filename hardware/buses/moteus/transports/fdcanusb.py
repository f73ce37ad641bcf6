"""moteus controllers behind mjbots' fdcanusb adapter, or one on a UART, by serial lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hardware.buses.moteus.commands import Reply
from hardware.buses.moteus.fdcanusb_lines import (
  LineBuffer,
  parse_frame,
  send_line,
  split_checksum,
)
from hardware.buses.moteus.frames import Frame, FrameError
from hardware.buses.moteus.transports.transport import Exchange, TransportError, remaining
from mbrl_jax.ops.extra import import_extra

BAUD = 921600
"""Of moteus' UART; the USB adapter ignores it."""


class Fdcanusb:
  """A transport over a serial port; see ``Transport``."""

  def __init__(self, port: str, checksum: bool = False) -> None:
    """Opens a serial port.

    Args:
      port: path, such as ``/dev/ttyACM0``.
      checksum: whether lines carry a CRC-8. Needed on a UART, where bits flip; USB has a
        check of its own.

    Raises:
      ImportError: pyserial is not installed.
      TransportError: the port cannot be opened.
    """
    self.counters: Counter[str] = Counter()
    serial = import_extra("serial", "hardware")
    self._errors = serial.SerialException
    self._name, self._checksum, self._lines = port, checksum, LineBuffer()
    try:
      self._port = serial.Serial(port, BAUD, timeout=0, exclusive=True)
    except (self._errors, OSError) as error:
      raise TransportError(
        f"serial port {port!r} cannot be opened ({error}). Check its name, that no other "
        "program uses it, and that you are in the group of the device (often dialout)."
      ) from error

  def cycle(self, frames: Sequence[Frame], deadline: float) -> dict[int, Reply]:
    """See ``Transport.cycle``."""
    exchange = Exchange(frames, self.counters)
    # Lines that came since the last cycle answer that one.
    self.counters["late"] += sum(frame is not None for frame in self._read(0.0))
    self._write(b"".join(send_line(frame, self._checksum) for frame in frames), deadline)
    while not exchange.done and (left := remaining(deadline)) > 0:
      for frame in self._read(left):
        exchange.offer(frame)
    return exchange.finish()

  def close(self) -> None:
    """See ``Transport.close``."""
    self._port.close()

  def _write(self, data: bytes, deadline: float) -> None:
    try:
      self._port.write_timeout = max(1e-3, remaining(deadline))
      self._port.write(data)
    except (self._errors, OSError) as error:
      raise self._lost(error) from error

  def _read(self, timeout: float) -> list[Frame]:
    """Returns the frames that arrive; waits for a first byte up to ``timeout`` seconds."""
    try:
      self._port.timeout = timeout
      data = self._port.read(1)
      data += self._port.read(self._port.in_waiting)
    except (self._errors, OSError) as error:
      raise self._lost(error) from error
    frames = []
    for line in self._lines.feed(data):
      try:
        frame = self._frame(line)
      except FrameError:
        self.counters["malformed"] += 1
        continue
      if frame is not None:
        frames.append(frame)
    return frames

  def _frame(self, line: bytes) -> Frame | None:
    """Returns the frame of a line, None for an acknowledgement."""
    text, checked = split_checksum(line)
    if self._checksum and not checked:
      raise FrameError(f"line {line[:40]!r} lacks its checksum.")
    if text.startswith("ERR"):
      self.counters["refused"] += 1
    elif text != "OK" and not text.startswith("rcv"):
      raise FrameError(f"line {text[:40]!r} is none of OK, ERR and rcv.")
    return parse_frame(text)

  def _lost(self, error: Exception) -> TransportError:
    return TransportError(f"serial port {self._name!r} is lost: {error}. Check the cable.")
