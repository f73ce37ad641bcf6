"""Reads several servos with one request, of which a silent one costs its own slot only."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from hardware.buses.dynamixel import frames
from hardware.buses.dynamixel.answer import DAMAGED, SILENT, UNASKED, Answer, answered
from hardware.buses.dynamixel.registers import Span

if TYPE_CHECKING:
  from hardware.buses.dynamixel.bus import Bus

MISSES = 3
"""Silences in a row after which a servo is asked only sometimes."""
SELDOM = 16
"""A servo that is silent for long is asked in one of so many group reads."""


class GroupRead:
  """One read of several servos.

  They answer one after another, and each waits for its predecessor (e-Manual, Sync Read): all
  behind a silent servo stay silent, too. Three rules keep the answers of the others:

  * Those behind the first that is missing are asked again at once, without it.
  * A servo that was silent goes to the end of the next requests, where nobody waits for it.
  * After ``MISSES`` silences it is asked in one of ``SELDOM`` reads: waiting for it must not
    cost the others their rate. In between its answer is ``unasked``. If all are that silent,
    all are asked.

  An answer that came damaged is not asked for again: it costs its slot of this read.
  """

  def __init__(self, bus: Bus, spans: dict[int, Span], seconds: float | None):
    """Prepares a read of ``spans``, by ID, that asks nothing more after ``seconds``."""
    self._bus, self._spans = bus, spans
    self._deadline = time.monotonic() + (bus.group_seconds if seconds is None else seconds)
    self._answers: dict[int, Answer] = {}

  def sync(self) -> dict[int, Answer]:
    """Reads by SYNC_READ."""
    return self._read(self._sync_request)

  def bulk(self) -> dict[int, Answer]:
    """Reads by BULK_READ."""
    return self._read(self._bulk_request)

  def fast_sync(self) -> dict[int, Answer]:
    """Reads by FAST_SYNC_READ, then what is missing by SYNC_READ."""
    ids = self._order()
    return self._read(self._sync_request, self._fast(ids) if ids else [])

  def _read(
    self, request: Callable[[list[int]], float], ids: list[int] | None = None
  ) -> dict[int, Answer]:
    """Asks until nobody is left or the time is over; returns and notes the answers."""
    ids = self._order() if ids is None else ids
    while ids and time.monotonic() < self._deadline:
      ids = self._blocked(ids, self._collect(ids, request(ids)))
    now = time.monotonic()
    for id in self._spans:
      answer = self._answers.setdefault(id, Answer(id, None, UNASKED, time=now))
      self._bus.health[id].note(answer)
    return {id: self._answers[id] for id in self._spans}

  def _order(self) -> list[int]:
    """Returns the servos to ask, silent ones last."""
    silent = {id: self._bus.health[id].silent for id in self._spans}
    asked = [id for id, n in silent.items() if n < MISSES or n % SELDOM == 0]
    asked = asked or [*silent]  # there is nobody to be held up
    for id in silent.keys() - asked:
      self._bus.health[id].silent += 1
    return sorted(asked, key=lambda id: silent[id])

  def _sync_request(self, ids: list[int]) -> float:
    span = self._spans[ids[0]]
    params = frames.sync_read_params(span.address, span.length, ids)
    return self._bus.request(frames.BROADCAST, frames.SYNC_READ, params)

  def _bulk_request(self, ids: list[int]) -> float:
    spans = {id: (self._spans[id].address, self._spans[id].length) for id in ids}
    params = frames.bulk_read_params(spans)
    return self._bus.request(frames.BROADCAST, frames.BULK_READ, params)

  def _collect(self, ids: list[int], sent: float) -> set[int]:
    """Takes answers until all have come or the line is quiet; returns who has spoken."""
    bus, waiting = self._bus, set(ids)
    deadline = bus.quiet_until(sent)
    while waiting and (data := bus.port.receive(deadline)):
      now = time.monotonic()
      self._take(bus.parser.feed(data), waiting, now)
      deadline = bus.quiet_until(max(now, sent))
    if waiting:
      self._take(bus.parser.flush(), waiting, time.monotonic())
    damaged = waiting.intersection(bus.parser.damaged)
    if len(waiting) == 1 and bus.parser.damaged:
      damaged = set(waiting)  # even the ID of its answer was damaged
    self._fail(damaged, DAMAGED)
    return set(ids) - waiting | damaged

  def _take(self, packets: list[frames.Packet], waiting: set[int], now: float) -> None:
    """Keeps the answers among ``packets`` of servos that have not answered yet."""
    for packet in packets:
      if packet.id not in waiting or packet.instruction != frames.STATUS:
        self._bus.counts.unexpected += 1
        continue
      answer = answered(packet.id, packet.error, packet.data, now)
      if answer.data is not None and len(answer.data) != self._spans[packet.id].length:
        self._bus.counts.unexpected += 1
        continue
      self._answers[packet.id] = answer
      waiting.remove(packet.id)

  def _blocked(self, ids: list[int], spoken: set[int]) -> list[int]:
    """Marks who was silent; returns those who waited behind the first of them in vain."""
    last = max((i for i, id in enumerate(ids) if id in spoken), default=-1)
    self._fail({id for id in ids[: last + 2] if id not in spoken}, SILENT)
    return ids[last + 2 :]

  def _fail(self, ids: set[int], failure: str) -> None:
    now = time.monotonic()
    for id in ids:
      self._answers[id] = Answer(id, None, failure, time=now)

  def _fast(self, ids: list[int]) -> list[int]:
    """Asks for one packet of all and takes its valid parts; returns whom to ask again."""
    span, size = self._spans[ids[0]], len(ids) * (self._spans[ids[0]].length + 4)
    params = frames.sync_read_params(span.address, span.length, ids)
    sent = self._bus.request(frames.BROADCAST, frames.FAST_SYNC_READ, params)
    raw = self._fast_packet(size, sent)
    now, taken = time.monotonic(), 0
    for id, error, data in frames.split_fast_status(raw, span.length):
      if taken == len(ids) or id != ids[taken]:
        self._bus.counts.unexpected += 1
        break
      self._answers[id] = answered(id, error, data, now)
      taken += 1
    if not taken and len(raw) < 8 + size:
      return ids  # nobody: perhaps they do not know the instruction
    if taken < len(ids):  # a packet of full length was damaged there, or ended there
      damaged = len(raw) >= 8 + size
      self._bus.parser.crc_errors += damaged
      self._fail({ids[taken]}, DAMAGED if damaged else SILENT)
    return ids[taken + 1 :]

  def _fast_packet(self, size: int, sent: float) -> bytes:
    """Returns what came of a packet with ``size`` bytes of answers, from its header on."""
    length = (size + 1).to_bytes(2, "little")
    head = frames.HEADER + bytes((frames.BROADCAST, *length, frames.STATUS))
    raw, at, deadline = b"", -1, self._bus.quiet_until(sent)
    while (at < 0 or len(raw) < at + 8 + size) and (data := self._bus.port.receive(deadline)):
      raw += data
      at = raw.find(head)
      deadline = self._bus.quiet_until(max(time.monotonic(), sent))
    return raw[at:] if at >= 0 else b""
