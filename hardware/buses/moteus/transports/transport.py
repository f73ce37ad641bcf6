"""One exchange with the controllers of a bus, independent of the adapter.

A transport sends frames and collects replies until all have come or the deadline has passed. A
controller that does not answer costs its own slot and nothing else.

moteus frames carry no sequence number. A reply that comes after its deadline is thrown away
before the next cycle sends; one that comes later still cannot be told from the next reply.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from hardware.buses.moteus.commands import Reply, decode_reply
from hardware.buses.moteus.frames import Frame, FrameError, Kind, parse
from mbrl_jax.ops.validate import ArgumentError


class TransportError(OSError):
  """The adapter or the bus is gone; says which and what to do."""


class Transport(Protocol):
  """An adapter.

  Attributes:
    counters: numbers of events so far: ``missing`` replies, ``malformed``, ``unexpected`` and
      ``late`` frames, ``unsent`` and ``refused`` commands.
  """

  counters: Counter[str]

  def cycle(self, frames: Sequence[Frame], deadline: float) -> dict[int, Reply]:
    """Sends ``frames`` and returns the replies that came in time, by controller.

    Args:
      frames: at most one with a request for a reply per controller.
      deadline: time of ``time.monotonic`` in seconds at which to return at the latest.

    Raises:
      ArgumentError: two frames ask one controller for a reply, or one asks all.
      TransportError: nothing could be sent or received.
    """

  def close(self) -> None:
    """Closes the adapter; controllers are not stopped."""


class Exchange:
  """Matches the replies of one cycle to its requests."""

  def __init__(self, frames: Sequence[Frame], counters: Counter[str]) -> None:
    """Args: ``frames`` to be sent, ``counters`` to count in."""
    self.replies: dict[int, Reply] = {}
    self._counters = counters
    self._asked: dict[int, set[int]] = {}
    for frame in frames:
      if not frame.wants_reply:
        continue
      if frame.destination in self._asked or frame.destination > 126:
        others = "once per cycle, and not as a broadcast (127)."
        raise ArgumentError("frames", frame.destination, f": ask each controller {others}")
      parts = parse(frame.data)
      asked = {part.register for part in parts if part.kind is Kind.READ}
      self._asked[frame.destination] = asked
    self._hosts = {frame.source for frame in frames}

  @property
  def done(self) -> bool:
    """Whether every request has its reply."""
    return len(self.replies) == len(self._asked)

  def skip(self, frame: Frame) -> None:
    """Notes that ``frame`` could not be sent: no reply is waited for."""
    self._counters["unsent"] += 1
    if frame.wants_reply:
      self._asked.pop(frame.destination, None)

  def offer(self, frame: Frame) -> None:
    """Takes a received frame, if it answers a request completely; counts it otherwise."""
    asked = self._asked.get(frame.source)
    wanted = frame.arbitration_id >> 15 == 0 and frame.destination in self._hosts
    if asked is None or not wanted or frame.source in self.replies:
      self._counters["unexpected"] += 1
      return
    try:
      reply = decode_reply(frame)
    except FrameError:
      self._counters["malformed"] += 1
      return
    if asked != _answered(reply):
      self._counters["malformed"] += 1
      return
    self.replies[frame.source] = reply

  def finish(self) -> dict[int, Reply]:
    """Returns the replies and counts those that are missing."""
    self._counters["missing"] += len(self._asked) - len(self.replies)
    return self.replies


def remaining(deadline: float) -> float:
  """Returns the seconds until ``deadline``, 0 if it has passed."""
  return max(0.0, deadline - time.monotonic())


def _answered(reply: Reply) -> set[int]:
  unread = {error.register for error in reply.errors if error.kind is Kind.READ_ERROR}
  return unread | reply.values.keys()
