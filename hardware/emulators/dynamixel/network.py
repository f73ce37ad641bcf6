"""Servos on one bus: who answers an instruction, in which order, and what faults do to it."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence

from hardware.buses.dynamixel import frames
from hardware.buses.dynamixel.frames import Packet
from hardware.emulators.dynamixel.body import NOMINAL_VOLTAGE, ROOM_TEMPERATURE
from hardware.emulators.dynamixel.faults import HOT, LOW_VOLTAGE, Faults, Reply
from hardware.emulators.dynamixel.physics import Plant, RotorPlant
from hardware.emulators.dynamixel.servo import Servo
from mbrl_jax.ops.validate import ArgumentError

GROUP_READS = (frames.SYNC_READ, frames.FAST_SYNC_READ, frames.BULK_READ)


class Network:
  """Servos that share a bus and a plant; no time passes but what ``advance`` is told.

  Attributes:
    servos: in the order of the plant's motors.
    plant: what they move.
    faults: that are on.
  """

  def __init__(
    self, servos: Sequence[Servo], plant: Plant | None = None, faults: Faults | None = None
  ):
    """Connects servos to a plant.

    Args:
      servos: at least one.
      plant: with a motor for each; independent rotors by default.
      faults: none are on by default.

    Raises:
      ArgumentError: the numbers of servos and motors differ.
    """
    self.servos = [*servos]
    self.plant: Plant = RotorPlant(len(self.servos)) if plant is None else plant
    self.faults = faults or Faults()
    self._now: float | None = None
    if len(self.plant.positions) != len(self.servos):
      motors = ("motors", len(self.plant.positions))
      raise ArgumentError("servos", len(self.servos), "must be as many as {}.", motors)

  def advance(self, now: float) -> None:
    """Lets plant and servos pass the time until ``now``, s."""
    self._apply_conditions()
    plant = self.plant
    if self._now is not None and now > self._now:
      plant.advance(now - self._now, [servo.body.drive for servo in self.servos])
    first, self._now = self._now is None, now if self._now is None else max(now, self._now)
    for i, servo in enumerate(self.servos):
      state = plant.positions[i], plant.velocities[i], plant.torques[i]
      servo.body.advance(now, *map(float, state))
      if first:
        servo.body.power_on()  # at the plant's pose

  def handle(self, packet: Packet, baud: int) -> list[Reply]:
    """Carries out an instruction that the host has sent at ``baud``; returns the answers."""
    if packet.instruction == frames.STATUS:
      return []  # servos hear each other's answers all the time
    for servo in self.servos:
      if self.faults.spend_reboot(servo.id, [s.id for s in self.servos]):
        servo.reboot()
    hearing = [s for s in self.servos if s.awake and s.baud == baud]
    hearing = [s for s in hearing if not self._is_silent(s, packet)]
    for servo in hearing:
      servo.body.heard()
    try:
      replies = [*self._replies(packet, hearing)]
    except struct.error:  # parameters of no possible length: nobody answers
      return []
    return [self.faults.alter(reply) for reply in replies]

  def _replies(self, packet: Packet, hearing: list[Servo]) -> Iterator[Reply]:
    if packet.instruction in GROUP_READS:
      yield from self._group_read(packet, hearing)
    elif packet.instruction in (frames.SYNC_WRITE, frames.BULK_WRITE):
      for id, address, data in _writes(packet):
        for servo in (s for s in hearing if s.id == id):
          servo.write(address, data)
    else:
      everybody = packet.id == frames.BROADCAST
      for servo in sorted(hearing, key=lambda s: s.id):
        if everybody or servo.id == packet.id:
          id, delay = servo.id, servo.return_delay
          if raw := servo.answer(packet):
            yield Reply(id, raw, delay)

  def _group_read(self, packet: Packet, hearing: list[Servo]) -> Iterator[Reply]:
    """Yields answers up to the first servo that is missing: those behind wait for it."""
    spans, by_id = _spans(packet), {s.id: s for s in hearing if s.answers_reads}
    parts: list[tuple[int, int, bytes]] = []
    delays = []
    for id, address, length in spans:
      if id not in by_id:
        break
      error, data = by_id[id].read(address, length)
      delays.append(by_id[id].return_delay)
      parts.append((id, error, data))
    if packet.instruction == frames.FAST_SYNC_READ:
      yield from _fast_replies(parts, delays, spans)
      return
    for (id, error, data), delay in zip(parts, delays, strict=True):
      yield Reply(id, frames.status(id, error, data), delay)

  def _is_silent(self, servo: Servo, packet: Packet) -> bool:
    """Reports whether a fault silences a servo; counts it if the packet concerns the servo."""
    asked = _asked(packet)
    if asked is None or servo.id in asked:
      return self.faults.strikes("silent", servo.id)
    return self.faults.lasts("silent", servo.id)

  def _apply_conditions(self) -> None:
    """Sets temperatures and voltages of servos as the faults want them."""
    for servo in self.servos:
      body, id = servo.body, servo.id
      if not self.faults.lasts("over_temperature", id):
        body.temperature = ROOM_TEMPERATURE
      elif body.temperature != HOT and self.faults.strikes("over_temperature", id):
        body.temperature = HOT
      if not self.faults.lasts("voltage_dip", id):
        body.voltage = NOMINAL_VOLTAGE
      elif body.voltage != LOW_VOLTAGE and self.faults.strikes("voltage_dip", id):
        body.voltage = LOW_VOLTAGE


def _asked(packet: Packet) -> set[int] | None:
  """Returns the IDs that a packet concerns, None for all."""
  if packet.instruction in (frames.SYNC_READ, frames.FAST_SYNC_READ):
    return set(packet.params[4:])
  if packet.instruction == frames.BULK_READ:
    return set(packet.params[::5])
  return None if packet.id == frames.BROADCAST else {packet.id}


def _spans(packet: Packet) -> list[tuple[int, int, int]]:
  """Returns ID, address and length of each read in a group."""
  if packet.instruction == frames.BULK_READ:
    return [*struct.iter_unpack("<BHH", packet.params)]
  address, length = struct.unpack_from("<HH", packet.params)
  return [(id, address, length) for id in packet.params[4:]]


def _writes(packet: Packet) -> Iterable[tuple[int, int, bytes]]:
  """Yields ID, address and data of each write in a group; an incomplete one ends them."""
  params = packet.params
  if packet.instruction == frames.SYNC_WRITE:
    address, length = struct.unpack_from("<HH", params)
    for at in range(4, len(params) - length, length + 1):
      yield params[at], address, params[at + 1 : at + 1 + length]
    return
  at = 0
  while at + 5 <= len(params):
    id, address, length = struct.unpack_from("<BHH", params, at)
    if at + 5 + length > len(params):
      return
    yield id, address, params[at + 5 : at + 5 + length]
    at += 5 + length


def _fast_replies(
  parts: list[tuple[int, int, bytes]],
  delays: list[float],
  spans: list[tuple[int, int, int]],
) -> Iterator[Reply]:
  """Yields each servo's part of the one packet that answers a fast sync read."""
  if not parts:
    return
  length = spans[0][2]
  padded = [(id, error, data.ljust(length, b"\0")) for id, error, data in parts]
  raw = frames.fast_status(padded, len(spans))
  ends = [8 + (i + 1) * (4 + length) for i in range(len(parts))]
  for (id, _, _), delay, start, end in zip(parts, delays, [0, *ends], ends, strict=False):
    yield Reply(id, raw[start:end], delay)
