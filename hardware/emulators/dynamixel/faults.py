"""Faults of servos and lines, switched on by name; the same seed gives the same faults."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from mbrl_jax.ops.validate import between, choice, positive

NAMES = {
  "drop": "an answer is lost on its way to the host; the servos behind still answer",
  "delay": "an answer comes later, by `seconds`",
  "bit_flip": "one bit of an answer changes",
  "duplicate": "the host gets an answer twice",
  "stale": "a servo's previous answer comes instead of the new one",
  "truncated": "an answer ends early",
  "silent": "a servo neither hears nor answers, and those behind it in a group wait in vain",
  "unplugged": "the port vanishes",
  "reboot": "a servo restarts once: RAM is reset, torque is off, it is deaf for a while",
  "over_temperature": "a servo's temperature is 90 degrees",
  "voltage_dip": "a servo's supply is 8 V",
}
"""Names of the faults and what they do."""
OF_ANSWERS = ("drop", "delay", "bit_flip", "duplicate", "stale", "truncated")
HOT = 90
LOW_VOLTAGE = 8.0


@dataclass(frozen=True, slots=True)
class Reply:
  """Bytes that a servo puts on the wire.

  Attributes:
    id: of the servo, or of its part of a fast answer.
    data: the bytes.
    delay: seconds after the end of what precedes it.
    copies: how often the host gets it; it takes its time on the wire once in any case.
  """

  id: int
  data: bytes
  delay: float = 0.0
  copies: int = 1


@dataclass(slots=True)
class _Fault:
  ids: frozenset[int] | None
  probability: float
  seconds: float
  left: int | None

  def concerns(self, id: int) -> bool:
    return self.left != 0 and (self.ids is None or id in self.ids)


class Faults:
  """Which faults are on.

  Attributes:
    counts: how often each has struck, by name.
  """

  def __init__(self, seed: int = 0):
    """Starts without faults.

    Args:
      seed: of the draws.
    """
    self.counts: Counter[str] = Counter()
    self._random = random.Random(seed)
    self._on: dict[str, _Fault] = {}
    self._last: dict[tuple[int, int], bytes] = {}

  def on(
    self,
    name: str,
    ids: Iterable[int] | None = None,
    *,
    probability: float = 1.0,
    seconds: float = 0.05,
    times: int | None = None,
  ) -> None:
    """Switches a fault on.

    Args:
      name: one of ``NAMES``.
      ids: servos that it strikes, all by default.
      probability: with which it strikes each answer or instruction.
      seconds: by which ``delay`` delays.
      times: after which it stops by itself; a ``reboot`` strikes each servo once anyhow.

    Raises:
      ArgumentError: no such fault, which lists all, or an impossible number.
    """
    choice("fault", name, NAMES)
    between(0.0, 1.0, probability=probability)
    positive(seconds=seconds, times=1 if times is None else times)
    chosen = None if ids is None else frozenset(ids)
    self._on[name] = _Fault(chosen, probability, seconds, times)

  def off(self, name: str | None = None) -> None:
    """Switches one fault off, or all.

    Raises:
      ArgumentError: no such fault.
    """
    if name is None:
      self._on.clear()
    else:
      self._on.pop(choice("fault", name, NAMES), None)

  def strikes(self, name: str, id: int) -> bool:
    """Reports and counts whether a fault strikes servo ``id`` now."""
    fault = self._on.get(name)
    if fault is None or not fault.concerns(id):
      return False
    if fault.probability < 1 and self._random.random() >= fault.probability:
      return False
    if fault.left is not None:
      fault.left -= 1
    self.counts[name] += 1
    return True

  def lasts(self, name: str, id: int) -> bool:
    """Reports whether a fault is on for servo ``id``, without counting."""
    fault = self._on.get(name)
    return fault is not None and fault.concerns(id)

  def spend_reboot(self, id: int, everybody: Iterable[int]) -> bool:
    """Reports whether servo ``id`` restarts, and takes it off the list."""
    if not self.strikes("reboot", id):
      return False
    fault = self._on["reboot"]
    ids = frozenset(everybody) if fault.ids is None else fault.ids
    self._on["reboot"] = replace(fault, ids=ids - {id})
    return True

  def alter(self, reply: Reply) -> Reply:
    """Returns what becomes of an answer on its way."""
    key = reply.id, len(reply.data)
    previous, self._last[key] = self._last.get(key), reply.data
    if previous is not None and self.strikes("stale", reply.id):
      reply = replace(reply, data=previous)
    if self.strikes("bit_flip", reply.id):
      data = bytearray(reply.data)
      bit = self._random.randrange(8 * len(data))
      data[bit // 8] ^= 1 << bit % 8
      reply = replace(reply, data=bytes(data))
    if self.strikes("truncated", reply.id):
      reply = replace(reply, data=reply.data[: self._random.randrange(1, len(reply.data))])
    if self.strikes("delay", reply.id):
      reply = replace(reply, delay=reply.delay + self._on["delay"].seconds)
    if self.strikes("duplicate", reply.id):
      reply = replace(reply, copies=2)
    return replace(reply, copies=0) if self.strikes("drop", reply.id) else reply
