"""An emulated fdcanusb adapter on a pseudo-terminal, with controllers behind it."""

from __future__ import annotations

import contextlib
import os
import select
import tty

from hardware.buses.moteus.fdcanusb_lines import (
  LineBuffer,
  answer_line,
  parse_frame,
  receive_line,
  split_checksum,
)
from hardware.buses.moteus.frames import Frame, FrameError
from hardware.emulators.moteus.bench import Bench
from hardware.emulators.moteus.carrier import Carrier


class FdcanusbPort(Carrier):
  """A carrier on a serial port; see ``Carrier``.

  It answers with checksums once a line had one, as a controller on a UART does. ``bit_flip``
  flips a bit of the last value; ``unplugged`` closes the port for good.

  Attributes:
    path: of the port, for a client to open.
  """

  def __init__(self, bench: Bench) -> None:
    """Opens a pseudo-terminal in front of ``bench``."""
    super().__init__(bench)
    self._master, self._slave = os.openpty()
    tty.setraw(self._slave)
    os.set_blocking(self._master, False)
    self.path = os.ttyname(self._slave)  # the slave stays open: clients may come and go
    self._lines, self._checksum, self._open = LineBuffer(), False, True

  def _receive(self, timeout: float) -> list[Frame]:
    if self.bench.faults.is_on("unplugged"):
      self._close()
    if not self._open:
      self._stopping.wait(timeout)
      return []
    if not select.select([self._master], [], [], timeout)[0]:
      return []
    with contextlib.suppress(BlockingIOError):
      frames = (self._execute(line) for line in self._lines.feed(os.read(self._master, 4096)))
      return [frame for frame in frames if frame is not None]
    return []

  def _execute(self, line: bytes) -> Frame | None:
    """Acknowledges a line; returns its frame if it has one."""
    try:
      text, checked = split_checksum(line)
      frame = parse_frame(text)
    except FrameError:
      self._write(answer_line("ERR bad line or checksum", self._checksum))
      return None
    self._checksum = self._checksum or checked
    self._write(answer_line("OK" if frame else "ERR unknown command", self._checksum))
    return frame

  def _transmit(self, frame: Frame) -> None:
    line = receive_line(frame, self._checksum)
    if self.bench.faults.take("bit_flip", frame.source):
      at = line.index(b" ", 4) + 2 * len(frame.data)  # the last digit in front of the padding
      line = line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]
    self._write(line)

  def _write(self, line: bytes) -> None:
    """Sends a line; one that nobody reads is lost, as on a full adapter."""
    if self._open:
      with contextlib.suppress(BlockingIOError):
        os.write(self._master, line)

  def _close(self) -> None:
    if self._open:
      self._open = False
      os.close(self._master)
      os.close(self._slave)
