"""The host's side of a Dynamixel bus: instructions, and each servo's own answer."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hardware.buses.dynamixel import frames
from hardware.buses.dynamixel.answer import DAMAGED, SILENT, Answer, Health, answered
from hardware.buses.dynamixel.group_read import GroupRead
from hardware.buses.dynamixel.parser import Parser
from hardware.buses.dynamixel.port import Port
from hardware.buses.dynamixel.registers import Item, Span
from mbrl_jax.ops.validate import positive

LARGEST_RETURN_DELAY = 508e-6
"""Seconds that a servo may wait before it answers (register ``return_delay_time``)."""
ADAPTER_BLOCK = 64
"""Bytes that USB adapters collect before they pass them on."""
SECONDS_PER_ID = 3e-3
"""Seconds that each possible ID has for its answer to a ping of all."""


@dataclass(slots=True)
class Counts:
  """Counts since the bus was opened.

  Attributes:
    requests: instructions sent.
    stale_bytes: bytes that had arrived when nothing was asked, such as late answers.
    unexpected: packets of servos that were not asked, second answers, wrong lengths.
  """

  requests: int = 0
  stale_bytes: int = 0
  unexpected: int = 0


class Bus:
  """Sends instructions and returns each servo's answer, or what went wrong, as a value.

  A read sleeps until bytes arrive. A servo counts as silent when the line has been quiet for
  ``patience`` beyond the time that bytes and return delay take. Nothing is ever repeated from
  an earlier cycle. Protocol 2.0 has no sequence number: bytes that wait when a request is sent
  are dropped, but an answer so late that it arrives after the next request to the same servo
  for as many bytes cannot be told from the right one. Choose ``patience`` accordingly. A bus
  is for one thread.

  Attributes:
    health: what is remembered of each servo, by ID: last error, hardware alert, silences.
    counts: see ``Counts``; those of damaged bytes are in ``parser``.
    parser: of the answers.
  """

  def __init__(self, port: Port, patience: float = 0.004):
    """Uses an open port.

    Args:
      port: of the bus; the caller closes it.
      patience: seconds for the adapter, its driver and the scheduler. With an FTDI adapter more
        than its latency timer.

    Raises:
      ArgumentError: ``patience`` is not positive.
    """
    positive(patience=patience)
    self.port, self.parser, self.counts = port, Parser(), Counts()
    self.health: defaultdict[int, Health] = defaultdict(Health)
    self._gap = patience + port.wire_time(ADAPTER_BLOCK) + LARGEST_RETURN_DELAY
    self._sent = 0.0  # when the last byte of what was sent leaves

  def ping(self, id: int) -> Answer:
    """Asks for model number (2 bytes) and firmware version (1 byte)."""
    return self._ask(id, frames.PING, b"", 3)

  def broadcast_ping(self, seconds: float | None = None) -> dict[int, Answer]:
    """Asks all servos at once; returns those that answer, by ID.

    Args:
      seconds: to listen for; by default long enough for all 253 possible IDs.
    """
    slots = (frames.LAST_ID + 1) * (SECONDS_PER_ID + self.port.wire_time(14))
    deadline = self.request(frames.BROADCAST, frames.PING) + (
      slots if seconds is None else seconds
    )
    found: dict[int, Answer] = {}
    while data := self.port.receive(deadline):
      for packet in self.parser.feed(data):
        if packet.instruction == frames.STATUS and len(packet.data) == 3:
          found[packet.id] = answered(packet.id, packet.error, packet.data, time.monotonic())
      if time.monotonic() > deadline:
        break
    for answer in found.values():
      self.health[answer.id].note(answer)
    return dict(sorted(found.items()))

  def read(self, id: int, span: Span | Item) -> Answer:
    """Reads one item or consecutive bytes of one servo."""
    params = frames.read_params(span.address, span.length)
    return self._ask(id, frames.READ, params, span.length)

  def write(self, id: int, item: Item, value: int) -> Answer:
    """Writes one item of one servo and waits for its acknowledgement.

    With ``status_return_level`` below 2 servos do not acknowledge: the answer is a silence.
    ``id`` may be ``frames.BROADCAST``: all servos write, none answers, the answer is ok.

    Raises:
      ArgumentError: ``value`` does not fit into the item.
    """
    params = frames.write_params(item.address, item.encode(value))
    return self._ask(id, frames.WRITE, params, 0)

  def reg_write(self, id: int, item: Item, value: int) -> Answer:
    """Prepares a write that ``action`` carries out; see ``write``."""
    params = frames.write_params(item.address, item.encode(value))
    return self._ask(id, frames.REG_WRITE, params, 0)

  def action(self, id: int = frames.BROADCAST) -> Answer:
    """Carries out what ``reg_write`` prepared, by default on all servos at once."""
    return self._ask(id, frames.ACTION, b"", 0)

  def reboot(self, id: int) -> Answer:
    """Restarts a servo: torque off, RAM as after power-on, hardware errors cleared.

    It does not answer while it starts.
    """
    return self._ask(id, frames.REBOOT, b"", 0)

  def clear(self, id: int) -> Answer:
    """Reduces the present position to one turn; torque must be off or the servo at rest."""
    return self._ask(id, frames.CLEAR, frames.MULTI_TURN, 0)

  def sync_read(
    self,
    ids: Sequence[int],
    span: Span | Item,
    *,
    fast: bool = False,
    seconds: float | None = None,
  ) -> dict[int, Answer]:
    """Reads the same bytes of several servos with one request; see ``GroupRead``.

    Args:
      ids: of the servos; the order on the bus is the bus's own affair.
      span: what to read, such as ``registers.STATE``.
      fast: ask for one packet of all servos, which old firmware does not know; what is missing
        in it is read in the ordinary way.
      seconds: after which nothing more is asked; by default five times what it takes to find
        that a servo is silent.

    Returns:
      An answer for each of ``ids``, in their order.
    """
    read = GroupRead(self, {id: Span(span.address, span.length) for id in ids}, seconds)
    return read.fast_sync() if fast else read.sync()

  def fast_sync_read(
    self, ids: Sequence[int], span: Span | Item, seconds: float | None = None
  ) -> dict[int, Answer]:
    """Is ``sync_read`` with ``fast=True``."""
    return self.sync_read(ids, span, fast=True, seconds=seconds)

  def bulk_read(
    self, spans: Mapping[int, Span | Item], seconds: float | None = None
  ) -> dict[int, Answer]:
    """Reads other bytes of each servo with one request; see ``sync_read``."""
    each = {id: Span(span.address, span.length) for id, span in spans.items()}
    return GroupRead(self, each, seconds).bulk()

  def sync_write(self, item: Item, values: Mapping[int, int]) -> None:
    """Writes one item of several servos at once; nobody answers.

    Args:
      item: such as ``registers.item("goal_position")``.
      values: by ID.

    Raises:
      ArgumentError: a value does not fit into the item.
    """
    data = {id: item.encode(value) for id, value in values.items()}
    params = frames.sync_write_params(item.address, item.length, data)
    self.request(frames.BROADCAST, frames.SYNC_WRITE, params)

  def bulk_write(self, values: Mapping[int, tuple[Item, int]]) -> None:
    """Writes another item of each servo at once; nobody answers.

    Args:
      values: item and value by ID.

    Raises:
      ArgumentError: a value does not fit into its item.
    """
    writes = {id: (item.address, item.encode(value)) for id, (item, value) in values.items()}
    self.request(frames.BROADCAST, frames.BULK_WRITE, frames.bulk_write_params(writes))

  def request(self, id: int, instruction: int, params: bytes = b"") -> float:
    """Drops what has arrived and sends an instruction.

    Returns:
      ``time.monotonic()`` at which its last byte leaves.

    Raises:
      PortError: the port has gone.
    """
    packet = frames.encode(id, instruction, params)
    while stale := self.port.receive(0.0):
      self.counts.stale_bytes += len(stale)
    self.parser.reset()
    self.counts.requests += 1
    self.port.send(packet)
    # Bytes of an earlier request that nobody answers may still be leaving.
    self._sent = max(self._sent, time.monotonic()) + self.port.wire_time(len(packet))
    return self._sent

  @property
  def group_seconds(self) -> float:
    """Seconds after which a group read asks nothing more, unless told."""
    return 5 * self._gap

  def quiet_until(self, since: float) -> float:
    """Returns when a line that is quiet since ``since`` will stay so."""
    return since + self._gap

  def _ask(self, id: int, instruction: int, params: bytes, length: int) -> Answer:
    """Sends an instruction to one servo and returns its answer."""
    sent = self.request(id, instruction, params)
    if id == frames.BROADCAST:
      return Answer(id, b"", time=sent)
    answer = self._wait(id, length, self.quiet_until(sent))
    self.health[id].note(answer)
    return answer

  def _wait(self, id: int, length: int, deadline: float) -> Answer:
    """Waits for the status packet of one servo."""
    while data := self.port.receive(deadline):
      now = time.monotonic()
      for packet in self.parser.feed(data):
        if packet.id == id and packet.instruction == frames.STATUS:
          answer = answered(id, packet.error, packet.data, now)
          if answer.data is None or len(answer.data) == length:
            return answer
        self.counts.unexpected += 1
      deadline = self.quiet_until(now)
    for packet in self.parser.flush():  # behind one that ended early
      if packet.id == id and packet.instruction == frames.STATUS and len(packet.data) == length:
        return answered(id, packet.error, packet.data, time.monotonic())
    failure = DAMAGED if self.parser.damaged else SILENT
    return Answer(id, None, failure, time=time.monotonic())
