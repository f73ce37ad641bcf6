"""An emulated leg host on UDP: answers every command with a state, in real time.

Two joints with inertia and friction take the action as torques of the outputs in N m. While the
reset flag is set, a spring moves the leg to its start pose. A host that hears nothing for
``TIMEOUT`` takes the torque off; whether the original did is not known.
"""

from __future__ import annotations

import heapq
import itertools
import secrets
import socket
import time

from hardware.buses.udp.client import FORMATS
from hardware.buses.udp.datagrams import (
  JOINTS,
  LARGEST_DATAGRAM,
  Command,
  DatagramError,
  Stamp,
  State,
  pack_state,
  unpack_command,
)
from hardware.buses.udp.stream import Stream
from hardware.emulators.background import Background
from hardware.emulators.fault_switch import FaultSwitch
from hardware.emulators.moteus.physics import Inertia, Physics
from mbrl_jax.ops.validate import choice

FAULTS = {
  "drop": "the state is lost",
  "delay": "the state comes DELAY seconds late",
  "duplicate": "the state comes twice",
  "reorder": "the state comes after the next one",
  "truncated": "the second half of the state is missing",
  "stale": "the state is the one before, byte for byte",
  "silent": "the host hears nothing and says nothing",
}
"""Faults of an emulated host."""
DELAY = 0.05
"""Seconds by which ``delay`` is late."""
TIMEOUT = 0.1
"""Seconds without a command after which the torque is taken off."""
TICK = 0.005
"""Longest time in seconds between two steps of the plant."""
SPRING, DAMPER = 4.0, 1.0
"""Of the reset, N m per revolution and per revolution per second."""


class UdpHost(Background):
  """A leg host on this computer; see ``Background``.

  Attributes:
    port: on which it listens, at 127.0.0.1.
    faults: switches of ``FAULTS``.
    physics: the plant.
    stream: order of the commands received; an old one is answered, but not executed.
    malformed: number of datagrams refused.
  """

  def __init__(
    self,
    form: str = "stamped",
    physics: Physics | None = None,
    start_pose: tuple[float, float] = (0.0, 0.0),
    port: int = 0,
  ) -> None:
    """Opens a port.

    Args:
      form: ``stamped`` or ``legacy``, see ``hardware.buses.udp.datagrams``.
      physics: plant of two joints; ``Inertia`` if None.
      start_pose: positions of the joints to which a reset moves, in revolutions.
      port: to listen on; 0: any that is free.

    Raises:
      ArgumentError: there is no such format.
      OSError: the port is taken.
    """
    super().__init__()
    self._stamped = choice("form", form, FORMATS) == "stamped"
    self.faults, self.stream, self.malformed = FaultSwitch(FAULTS), Stream(), 0
    self.physics = physics or Inertia(JOINTS)
    self._pose, self._command, self._heard = start_pose, Command((0.0, 0.0), False), -TIMEOUT
    self._session, self._sequence = secrets.randbits(32), 0
    self._answers = Stamp(0, 0, 0)
    self._before: bytes | None = None
    self._held: list[tuple[bytes, tuple]] = []
    self._queue: list[tuple[float, int, bytes, tuple]] = []
    self._order = itertools.count()
    self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
      self._socket.bind(("127.0.0.1", port))
    except OSError:
      self._socket.close()
      raise
    self.port: int = self._socket.getsockname()[1]

  def _close(self) -> None:
    self._socket.close()

  def _run(self) -> None:
    last = time.monotonic()
    while not self._stopping.is_set():
      due = self._queue[0][0] - last if self._queue else TICK
      received = self._read(max(1e-4, min(TICK, due)))
      now = time.monotonic()
      self._advance(now - last, now)
      last = now
      if received is not None and not self.faults.is_on("silent"):
        self._handle(*received, now)
      while self._queue and self._queue[0][0] <= now:
        _, _, data, address = heapq.heappop(self._queue)
        self._send(data, address)

  def _read(self, timeout: float) -> tuple[bytes, tuple] | None:
    self._socket.settimeout(timeout)
    try:
      return self._socket.recvfrom(LARGEST_DATAGRAM)
    except OSError:  # nothing came, or a client has gone
      return None

  def _advance(self, seconds: float, now: float) -> None:
    """Moves the plant in steps of at most 1 ms."""
    while seconds > 0:
      step = min(0.001, seconds)
      self.physics.advance(step, self._torques(now))
      seconds -= step

  def _torques(self, now: float) -> list[float]:
    if now - self._heard > TIMEOUT:
      return [0.0] * JOINTS
    if not self._command.reset:
      return list(self._command.action)
    joints = zip(self._pose, self.physics.positions, self.physics.velocities, strict=True)
    return [SPRING * (goal - x) - DAMPER * v for goal, x, v in joints]

  def _handle(self, data: bytes, address: tuple, now: float) -> None:
    """Executes a command, if it is new, and queues the state."""
    try:
      command = unpack_command(data, self._stamped)
    except DatagramError:
      self.malformed += 1
      return
    if command.stamp is None or self.stream.accept(command.stamp):
      self._command, self._heard = command, now
      self._answers = command.stamp or self._answers
    self._schedule(self._state(), address, now)

  def _state(self) -> bytes:
    (p0, p1), (v0, v1) = self.physics.positions, self.physics.velocities
    stamp = answers = None
    if self._stamped:
      self._sequence = (self._sequence + 1) % 2**32
      stamp = Stamp(self._session, self._sequence, time.monotonic_ns())
      answers = self._answers
    return pack_state(State((p0, p1), (v0, v1), (True, True), stamp, answers))

  def _schedule(self, data: bytes, address: tuple, now: float) -> None:
    """Queues a state as the faults have it."""
    before, self._before = self._before or data, data
    if self.faults.take("drop"):
      return
    if self.faults.take("stale"):
      data = before
    if self.faults.take("truncated"):
      data = data[: len(data) // 2]
    held, self._held = self._held, []
    if not held and self.faults.take("reorder"):
      self._held = [(data, address)]
      return
    due = now + DELAY if self.faults.take("delay") else now
    copies = [(data, address)] * (2 if self.faults.take("duplicate") else 1)
    for copy, receiver in [*copies, *held]:
      heapq.heappush(self._queue, (due, next(self._order), copy, receiver))

  def _send(self, data: bytes, address: tuple) -> None:
    try:
      self._socket.sendto(data, address)
    except OSError:  # the client has gone
      return
