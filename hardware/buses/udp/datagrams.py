"""Datagrams between a planner's computer and the host of a leg, in two formats.

``legacy`` is what the original experiment sent, little endian::

  command  3 doubles: action of joint 0, of joint 1, reset flag
  state    4 doubles: position 0, velocity 0, position 1, velocity 1

It shows neither loss nor order nor age. ``stamped`` does, little endian::

  header   magic "MLEG" (4), version (1), kind (1: command 1, state 2), flags (2)
           session (4), sequence (4), time of the sender in ns (8)
  command  2 doubles; flag bit 0 is the reset flag
  state    4 doubles as above; flag bits 0 and 1 say which joint's values are valid
           session (4), sequence (4) and time (8) of the newest command received
  end      CRC-32 of all bytes before (4)
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import NamedTuple

JOINTS = 2
"""Joints of the leg."""
MAGIC, VERSION = b"MLEG", 1
COMMAND, STATE = 1, 2
_LEGACY_COMMAND, _LEGACY_STATE = struct.Struct("<3d"), struct.Struct("<4d")
_HEADER = struct.Struct("<4sBBHIIQ")
_STATE_BODY, _COMMAND_BODY = struct.Struct("<4dIIQ"), struct.Struct("<2d")
_CRC = struct.Struct("<I")
LARGEST_DATAGRAM = 256
"""Bytes; no valid datagram is longer."""


class DatagramError(ValueError):
  """Bytes that are no datagram of the format; says why."""


class Stamp(NamedTuple):
  """Where a datagram stands in its sender's stream.

  Attributes:
    session: random number of the sender's start.
    sequence: number of the datagram, modulo 2**32.
    time_ns: of sending, by the sender's clock, in nanoseconds.
  """

  session: int
  sequence: int
  time_ns: int


class Command(NamedTuple):
  """What the host is asked to do.

  Attributes:
    action: command of each joint, in the unit the host expects; in the original torques of the
      motors, after averaging and scaling. [2]
    reset: whether to move to the start pose instead.
    stamp: None in the legacy format.
  """

  action: tuple[float, float]
  reset: bool
  stamp: Stamp | None = None


class State(NamedTuple):
  """What the host measured.

  Attributes:
    positions: of the joints, in the host's unit; revolutions of the motors in the original. [2]
    velocities: the same per second. [2]
    valid: whether a joint's values were measured. [2]
    stamp: None in the legacy format.
    answers: stamp of the newest command that the host had received; all zeros before one, None
      in the legacy format.
  """

  positions: tuple[float, float]
  velocities: tuple[float, float]
  valid: tuple[bool, bool] = (True, True)
  stamp: Stamp | None = None
  answers: Stamp | None = None


def pack_command(command: Command) -> bytes:
  """Returns the datagram of a command, ``stamped`` if it has a stamp."""
  if command.stamp is None:
    return _LEGACY_COMMAND.pack(*command.action, float(command.reset))
  body = _COMMAND_BODY.pack(*command.action)
  return _seal(COMMAND, int(command.reset), command.stamp, body)


def pack_state(state: State) -> bytes:
  """Returns the datagram of a state, ``stamped`` if it has a stamp."""
  (p0, p1), (v0, v1) = state.positions, state.velocities
  if state.stamp is None:
    return _LEGACY_STATE.pack(p0, v0, p1, v1)
  body = _STATE_BODY.pack(p0, v0, p1, v1, *(state.answers or Stamp(0, 0, 0)))
  flags = sum(valid << joint for joint, valid in enumerate(state.valid))
  return _seal(STATE, flags, state.stamp, body)


def unpack_command(data: bytes, stamped: bool) -> Command:
  """Returns the command in a datagram.

  Args:
    data: as received.
    stamped: whether the link is in the ``stamped`` format, ``legacy`` otherwise.

  Raises:
    DatagramError: it holds no command of this format, or numbers that are not finite.
  """
  if stamped:
    flags, stamp, body = _open(data, COMMAND, _COMMAND_BODY)
    a0, a1 = _finite(body)
    return Command((a0, a1), bool(flags & 1), stamp)
  a0, a1, reset = _finite(_exactly(data, _LEGACY_COMMAND))
  return Command((a0, a1), reset != 0)


def unpack_state(data: bytes, stamped: bool) -> State:
  """Returns the state in a datagram; arguments and errors as in ``unpack_command``.

  Values of a joint that is not valid may be anything, NaN included.
  """
  if not stamped:
    p0, v0, p1, v1 = _finite(_exactly(data, _LEGACY_STATE))
    return State((p0, p1), (v0, v1))
  flags, stamp, body = _open(data, STATE, _STATE_BODY)
  p0, v0, p1, v1, *answers = body
  valid = (bool(flags & 1), bool(flags & 2))
  _finite([x for pair, ok in zip(((p0, v0), (p1, v1)), valid, strict=True) if ok for x in pair])
  return State((p0, p1), (v0, v1), valid, stamp, Stamp(*answers))


def _seal(kind: int, flags: int, stamp: Stamp, body: bytes) -> bytes:
  data = _HEADER.pack(MAGIC, VERSION, kind, flags, *stamp) + body
  return data + _CRC.pack(zlib.crc32(data))


def _open(data: bytes, kind: int, body: struct.Struct) -> tuple[int, Stamp, tuple]:
  """Returns flags, stamp and numbers of a stamped datagram."""
  expected = _HEADER.size + body.size + _CRC.size
  if data[:4] != MAGIC:
    raise DatagramError(f"a datagram of {len(data)} bytes starts {data[:4]!r}, not {MAGIC!r}.")
  if len(data) != expected:
    raise DatagramError(f"a datagram has {len(data)} bytes, not {expected}.")
  if _CRC.unpack_from(data, expected - _CRC.size)[0] != zlib.crc32(data[: -_CRC.size]):
    raise DatagramError("a datagram has a wrong checksum.")
  _, version, found, flags, *stamp = _HEADER.unpack_from(data)
  if version != VERSION or found != kind:
    raise DatagramError(
      f"a datagram is of version {version} and kind {found}, not {VERSION} and {kind}."
    )
  return flags, Stamp(*stamp), body.unpack_from(data, _HEADER.size)


def _exactly(data: bytes, layout: struct.Struct) -> tuple:
  if len(data) != layout.size:
    raise DatagramError(f"a datagram has {len(data)} bytes, not {layout.size}.")
  return layout.unpack(data)


def _finite(numbers: tuple | list) -> tuple | list:
  if not all(math.isfinite(number) for number in numbers):
    raise DatagramError(f"a datagram holds {numbers}, which are not all finite.")
  return numbers
