"""Runs a bench in real time on a thread and delivers its replies, with faults."""

from __future__ import annotations

import abc
import heapq
import itertools
import threading
import time

from hardware.buses.moteus.frames import Frame
from hardware.emulators.background import Background
from hardware.emulators.moteus.bench import DELAY, Bench

TICK = 0.005
"""Longest time in seconds for which a carrier waits: a watchdog is that late at most."""


class Carrier(Background):
  """A bus or port on which a bench is reachable; see ``Background``."""

  def __init__(self, bench: Bench) -> None:
    """Args: ``bench`` to run."""
    super().__init__()
    self.bench = bench
    self.lock = threading.Lock()
    """Held while the bench changes; hold it to look at controllers and plant."""
    self._last: dict[int, Frame] = {}
    self._queue: list[tuple[float, int, Frame]] = []
    self._order = itertools.count()

  @abc.abstractmethod
  def _receive(self, timeout: float) -> list[Frame]:
    """Returns frames of a host; waits at most ``timeout`` seconds."""

  @abc.abstractmethod
  def _transmit(self, frame: Frame) -> None:
    """Sends a reply."""

  def _run(self) -> None:
    now = time.monotonic()
    while not self._stopping.is_set():
      due = self._queue[0][0] - now if self._queue else TICK
      frames = self._receive(max(0.0, min(TICK, due)))
      before, now = now, time.monotonic()
      with self.lock:
        self.bench.advance(now - before)
        replies = [reply for frame in frames for reply in self.bench.handle(frame)]
      for reply in replies:
        self._schedule(reply, now)
      while self._queue and self._queue[0][0] <= now:
        self._transmit(heapq.heappop(self._queue)[2])

  def _schedule(self, reply: Frame, now: float) -> None:
    """Queues a reply as the faults have it."""
    faults, source = self.bench.faults, reply.source
    before, self._last[source] = self._last.get(source, reply), reply
    if faults.take("drop", source):
      return
    if faults.take("stale", source):
      reply = before
    if faults.take("truncated", source):
      reply = reply._replace(data=reply.data[: len(reply.data) // 2])
    due = now + DELAY if faults.take("delay", source) else now
    for _ in range(2 if faults.take("duplicate", source) else 1):
      heapq.heappush(self._queue, (due, next(self._order), reply))
