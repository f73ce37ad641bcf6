"""Watches the order of a stream of stamped datagrams."""

from __future__ import annotations

from collections import Counter, deque

from hardware.buses.udp.datagrams import Stamp

REMEMBERED = 1024
"""Datagrams back to which a duplicate is told from a reordered one."""
_HALF = 2**31


class Stream:
  """Tells new datagrams from old ones and counts what happens on the way.

  Attributes:
    counters: ``new``; ``lost``, which a later arrival takes back; ``reordered``, arrived after
      a newer one; ``duplicated``; ``restarts`` of the sender.
  """

  def __init__(self) -> None:
    self.counters: Counter[str] = Counter()
    self._session: int | None = None
    self._newest = 0
    self._seen: deque[int] = deque(maxlen=REMEMBERED)
    self._ended: deque[int] = deque(maxlen=8)

  def accept(self, stamp: Stamp) -> bool:
    """Counts a datagram and reports whether it is newer than all before."""
    if stamp.session != self._session:
      if stamp.session in self._ended:  # a straggler from before the sender's restart
        self.counters["reordered"] += 1
        return False
      self._begin(stamp)
      return True
    if stamp.sequence in self._seen:
      self.counters["duplicated"] += 1
      return False
    self._seen.append(stamp.sequence)
    ahead = (stamp.sequence - self._newest) % 2**32
    if ahead >= _HALF:
      self.counters["reordered"] += 1
      self.counters["lost"] -= self.counters["lost"] > 0
      return False
    self.counters["new"] += 1
    self.counters["lost"] += ahead - 1
    self._newest = stamp.sequence
    return True

  def _begin(self, stamp: Stamp) -> None:
    if self._session is not None:
      self.counters["restarts"] += 1
      self._ended.append(self._session)
    self.counters["new"] += 1
    self._session, self._newest = stamp.session, stamp.sequence
    self._seen.clear()
    self._seen.append(stamp.sequence)
