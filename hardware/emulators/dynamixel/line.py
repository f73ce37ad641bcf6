"""Servos on a pseudo-terminal, which any program opens like a serial port."""

from __future__ import annotations

import collections
import contextlib
import os
import select
import termios
import threading
import time
import tty
from dataclasses import dataclass

from hardware.buses.dynamixel import frames
from hardware.buses.dynamixel.parser import Parser
from hardware.buses.dynamixel.registers import BAUD_RATES
from hardware.emulators.background import Background
from hardware.emulators.dynamixel.faults import Reply
from hardware.emulators.dynamixel.network import Network
from mbrl_jax.ops.validate import between

SPEEDS = {getattr(termios, f"B{n}", None): n for n in BAUD_RATES.values()}
"""Bits per second by the code of termios; a pseudo-terminal's other speeds have none."""
FASTEST = 4_500_000
BLOCK = 62
"""Bytes that an FTDI adapter collects before it passes them on early."""
TICK = 0.01
"""Seconds between two advances of the plant while the line is quiet."""
BYTE_TIMEOUT = 0.05
"""Seconds after which a servo gives up an instruction that does not go on."""


@dataclass(slots=True)
class _Signal:
  """Bytes on the wire from ``start`` to ``end``, s, and what of them reaches the host."""

  start: float
  end: float
  data: bytes


class Line(Background):
  """A half-duplex bus on a pseudo-terminal, served by a thread.

  A byte takes 10 bits at the host's baud rate; servos of another rate hear nothing. What host
  and servos send at the same time is lost. The pseudo-terminal itself is faster than USB, and
  the scheduler of the machine decides how late a byte comes: nothing here measures a real
  adapter.

  Attributes:
    path: of the terminal to open.
    network: the servos; change it while running only under ``lock``.
    lock: held while instructions are carried out.
    collisions: instructions lost because servos were speaking.
  """

  def __init__(self, network: Network, *, serial_time: bool = True, latency: float = 0.0):
    """Opens a pseudo-terminal; ``start`` serves it.

    Args:
      network: the servos.
      serial_time: whether bytes take time.
      latency: seconds for which the adapter collects bytes, such as 0.016 (FTDI's default).

    Raises:
      ArgumentError: ``latency`` is negative.
    """
    super().__init__()
    between(0.0, float("inf"), latency=latency)
    self.network, self.lock, self.collisions = network, threading.Lock(), 0
    self._serial_time, self._latency = serial_time, latency
    self._parser = Parser()
    self._host_end = self._last_byte = self._held_since = 0.0
    self._pending: collections.deque[_Signal] = collections.deque()
    self._held = b""
    # The terminal stays open here: without, the host's last close would end it.
    self._master, self._slave = os.openpty()
    tty.setraw(self._slave)
    os.set_blocking(self._master, False)
    self.path = os.ttyname(self._slave)

  @property
  def baud(self) -> int:
    """Bits per second that the host has set."""
    return SPEEDS.get(termios.tcgetattr(self._master)[5], FASTEST)

  def _run(self) -> None:
    """Serves until ``stop``, ``unplugged`` or an error; then the host's port is gone."""
    try:
      self._loop()
    finally:
      self._close()

  def _loop(self) -> None:
    advanced = -TICK
    while not self._stopping.is_set():
      now = time.monotonic()
      self._deliver(now)
      if now - advanced >= TICK:
        with self.lock:
          self.network.advance(now)
          if self.network.faults.strikes("unplugged", frames.BROADCAST):
            break
        advanced = now
      wait = max(min(self._next_event(), now + TICK) - time.monotonic(), 0.0)
      if select.select([self._master], [], [], wait)[0]:
        self._receive()

  def _close(self) -> None:
    for fd in (self._master, self._slave):
      if fd >= 0:
        os.close(fd)
    self._master = self._slave = -1

  def _next_event(self) -> float:
    """Returns when something must be delivered, s."""
    times = [self._pending[0].end] if self._pending else []
    times += [self._held_since + self._latency] if self._held else []
    return min(times, default=float("inf"))

  def _receive(self) -> None:
    """Takes what the host has sent and plans the answers."""
    try:
      data = os.read(self._master, 4096)
    except OSError:
      return
    now, baud = time.monotonic(), self.baud
    if now - self._last_byte > BYTE_TIMEOUT:
      self._parser.reset()
    self._last_byte = now
    for packet in self._parser.feed(data):
      start = max(now, self._host_end)
      self._host_end = start + self._wire_time(frames.OVERHEAD + len(packet.params), baud)
      if self._collides(start, self._host_end):
        self.collisions += 1
        continue
      with self.lock:
        self.network.advance(now)
        replies = self.network.handle(packet, baud)
      self._plan(replies, baud)

  def _collides(self, start: float, end: float) -> bool:
    """Reports whether servos speak between two times, and destroys what they say."""
    hit = [s for s in self._pending if s.start < end and s.end > start]
    for signal in hit:
      self._pending.remove(signal)
    return bool(hit)

  def _plan(self, replies: list[Reply], baud: int) -> None:
    """Puts answers on the wire one after another, behind the host's instruction."""
    at = self._host_end
    for reply in replies:
      start = at + reply.delay
      at = start + self._wire_time(len(reply.data), baud)
      self._pending.append(_Signal(start, at, reply.data * reply.copies))
    self._pending = collections.deque(sorted(self._pending, key=lambda s: s.end))

  def _wire_time(self, size: int, baud: int) -> float:
    return size * 10 / baud if self._serial_time else 0.0

  def _deliver(self, now: float) -> None:
    """Passes on what has crossed the wire, at once or as an adapter does."""
    while self._pending and self._pending[0].end <= now:
      signal = self._pending.popleft()
      self._held_since = self._held_since if self._held else signal.end
      self._held += signal.data
    if self._held and (now >= self._held_since + self._latency or len(self._held) >= BLOCK):
      held, self._held = self._held, b""
      with contextlib.suppress(BlockingIOError):  # nobody reads: an adapter loses bytes, too
        os.write(self._master, held)
