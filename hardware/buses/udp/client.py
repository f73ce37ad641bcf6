"""The planner's end of a leg's host link: send a command, receive the newest state."""

from __future__ import annotations

import math
import secrets
import socket
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from hardware.buses.udp.datagrams import (
  JOINTS,
  LARGEST_DATAGRAM,
  Command,
  DatagramError,
  Stamp,
  State,
  pack_command,
  unpack_state,
)
from hardware.buses.udp.stream import REMEMBERED, Stream
from mbrl_jax.ops.validate import ArgumentError, choice

FORMATS = ("stamped", "legacy")
"""Formats of the link, see ``datagrams``."""


class UdpLink:
  """A link to the host of a leg. Nothing here waits without a deadline.

  Attributes:
    state: newest state, None before the first. It never gets older values again.
    counters: ``sent``; ``malformed`` datagrams; ``late``, states that answer an earlier command
      than the last one, or another client's; ``refused``, of which the host's computer says
      that nobody listens; and, in the stamped format, those of ``Stream``.
  """

  def __init__(self, address: str, port: int, form: str = "stamped") -> None:
    """Opens a socket; the host need not run yet.

    Args:
      address: of the host.
      port: of the host.
      form: ``stamped``, or ``legacy`` for a host of the original experiment.

    Raises:
      ArgumentError: there is no such format.
      OSError: there is no such address.
    """
    choice("form", form, FORMATS)
    self.state: State | None = None
    self._stamped = form == "stamped"
    self._stream = Stream()
    self.counters: Counter[str] = self._stream.counters
    self._session, self._sequence = secrets.randbits(32) or 1, 0
    self._fresh_ns = 0
    self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
      self._socket.connect((address, port))  # datagrams of others are not received
    except OSError:
      self._socket.close()
      raise

  def send(self, action: Sequence[float], reset: bool = False) -> None:
    """Sends a command.

    Args:
      action: one number per joint, see ``Command``.
      reset: whether the leg shall move to its start pose instead.

    Raises:
      ArgumentError: ``action`` is not two finite numbers.
    """
    numbers = tuple(float(number) for number in action)
    if len(numbers) != JOINTS or not all(math.isfinite(number) for number in numbers):
      raise ArgumentError("action", numbers, f"must be {JOINTS} finite numbers.")
    stamp = None
    if not self._stamped:
      self._discard()
    else:
      self._sequence = (self._sequence + 1) % 2**32
      stamp = Stamp(self._session, self._sequence, time.monotonic_ns())
    self.counters["sent"] += 1
    try:
      self._socket.send(pack_command(Command((numbers[0], numbers[1]), reset, stamp)))
    except OSError:
      self.counters["refused"] += 1

  def receive(self, deadline: float) -> bool:
    """Waits for a state that answers the last command; reports whether one came in time.

    ``state`` becomes the newest that has arrived, even if it answers an earlier command. In the
    legacy format every state counts as an answer, because nothing says what it answers.

    Args:
      deadline: time of ``time.monotonic`` in seconds at which to return at the latest.
    """
    answered = False
    while True:
      left = max(0.0, deadline - time.monotonic())
      # Once there is an answer, only what has already arrived is read.
      data = self._read(0.0 if answered else left)
      if data is not None:
        answered = self._take(data) or answered
      if left == 0 or (answered and data is None):
        return answered

  def age(self) -> float:
    """Returns the age of ``state`` in seconds, infinite before the first.

    Stamped: time since the command was sent that the state answers, which its true age cannot
    exceed. Legacy: time since it was received, which hides the time it spent on the way.
    """
    if self.state is None:
      return math.inf
    return (time.monotonic_ns() - self._fresh_ns) / 1e9

  def close(self) -> None:
    """Closes the socket; the host is not stopped."""
    self._socket.close()

  def __enter__(self) -> UdpLink:
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
  ) -> None:
    self.close()

  def _discard(self) -> None:
    """Drops what has arrived: after one late answer a client would lag by one for ever."""
    for _ in range(REMEMBERED):  # bounded, if somebody floods the port
      if self._read(0.0) is None:
        return
      self.counters["late"] += 1

  def _read(self, timeout: float) -> bytes | None:
    """Returns the next datagram, None if there is none within ``timeout`` seconds."""
    self._socket.settimeout(timeout)
    try:
      return self._socket.recv(LARGEST_DATAGRAM)
    except (BlockingIOError, TimeoutError):
      return None
    except OSError:  # the host's computer says that nobody listens
      self.counters["refused"] += 1
      return None

  def _take(self, data: bytes) -> bool:
    """Takes the state in a datagram if it is newer; reports whether it answers."""
    try:
      state = unpack_state(data, self._stamped)
    except DatagramError:
      self.counters["malformed"] += 1
      return False
    if state.stamp is None or state.answers is None:
      self.state, self._fresh_ns = state, time.monotonic_ns()
      return True
    if not self._stream.accept(state.stamp):
      return False
    if state.answers.session != self._session:  # of another client
      self.counters["late"] += 1
      return False
    self.state, self._fresh_ns = state, state.answers.time_ns
    answered = state.answers.sequence == self._sequence
    self.counters["late"] += not answered
    return answered
