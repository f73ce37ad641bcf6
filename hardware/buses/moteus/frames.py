"""CAN-FD frames of moteus controllers: identifiers, subframes and padding.

A frame holds subframes, each of which writes, reads or answers consecutive registers in one
resolution (moteus reference, A.1)::

  byte 0   type, with the resolution in bits 2 and 3 and the count, if 1 to 3, in bits 0 and 1
  varuint  count, if those bits are zero
  varuint  first register
  values   little endian; absent in a read
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from hardware.buses.moteus.registers import Resolution, pack_value, unpack_raw
from mbrl_jax.ops.validate import ArgumentError

MAX_BYTES = 64
"""Payload of the largest CAN-FD frame."""
PADDING = 0x50
"""NOP: fills a frame up to a length that CAN-FD has."""
LENGTHS = (*range(9), 12, 16, 20, 24, 32, 48, 64)
"""Payload lengths of CAN-FD."""
BROADCAST = 0x7F
"""Destination that every controller hears."""
REPLY_BIT = 0x8000
"""Bit of an identifier that requests a reply."""
LARGEST_STANDARD_ID = 0x7FF
"""Larger identifiers need CAN's extended format of 29 bits."""
_LARGEST_NUMBER = 2**32 - 1


class FrameError(ValueError):
  """Bytes that are not a frame of moteus; names the byte."""


class Kind(enum.IntEnum):
  """Types of subframes, by the code of their first byte."""

  WRITE = 0x00
  READ = 0x10
  REPLY = 0x20
  WRITE_ERROR = 0x30
  READ_ERROR = 0x31


_STARTS = {
  kind | resolution << 2 | count: (kind, resolution, count)
  for kind in (Kind.WRITE, Kind.READ, Kind.REPLY)
  for resolution in Resolution
  for count in range(4)
}
"""Kind, resolution and count in the first byte of a subframe."""


class Frame(NamedTuple):
  """A CAN-FD frame between a host and a controller.

  Attributes:
    arbitration_id: ``source << 8 | destination``, with bit 15 to request a reply.
    data: subframes, without the padding where we made it.
  """

  arbitration_id: int
  data: bytes

  @property
  def source(self) -> int:
    """Id of the sender."""
    return (self.arbitration_id >> 8) & 0x7F

  @property
  def destination(self) -> int:
    """Id of the addressee."""
    return self.arbitration_id & 0x7F

  @property
  def wants_reply(self) -> bool:
    """Whether a reply is requested."""
    return bool(self.arbitration_id & REPLY_BIT)

  @property
  def is_extended(self) -> bool:
    """Whether the identifier needs 29 bits."""
    return self.arbitration_id > LARGEST_STANDARD_ID


class Subframe(NamedTuple):
  """One register of one subframe.

  Attributes:
    kind: what happens to the register.
    register: its number.
    resolution: number type; None for errors.
    value: counts or a float as on the wire; the code of an error; None for a read.
  """

  kind: Kind
  register: int
  resolution: Resolution | None
  value: float | None


def make_id(source: int, destination: int, reply: bool = False) -> int:
  """Returns the identifier of a frame.

  Args:
    source: id of the sender, 0 to 127; the host is 0 as a rule.
    destination: id of the addressee; 127 means all.
    reply: whether to request a reply.

  Raises:
    ArgumentError: an id has more than 7 bits.
  """
  for name, value in (("source", source), ("destination", destination)):
    if not 0 <= value <= BROADCAST:
      raise ArgumentError(name, value, f"must be an id from 0 to {BROADCAST}.")
  return (REPLY_BIT if reply else 0) | source << 8 | destination


def pad(data: bytes) -> bytes:
  """Returns ``data``, filled up with NOPs to the next length that CAN-FD has.

  Raises:
    FrameError: it has more than 64 bytes.
  """
  for length in LENGTHS:
    if len(data) <= length:
      return data + bytes([PADDING]) * (length - len(data))
  raise FrameError(f"{len(data)} bytes do not fit in a CAN-FD frame of {MAX_BYTES}.")


def write_registers(
  values: Mapping[int, float],
  resolutions: Mapping[int, Resolution],
  kind: Kind = Kind.WRITE,
) -> bytes:
  """Returns subframes that write registers, or that answer with their values.

  Args:
    values: value of each register in its unit, see ``registers``.
    resolutions: number type of each of them.
    kind: ``Kind.WRITE`` or ``Kind.REPLY``.
  """
  out = bytearray()
  for first, count, resolution in _runs(sorted(values), resolutions):
    out += _head(kind, resolution, count, first)
    for register in range(first, first + count):
      out += pack_value(register, values[register], resolution)
  return bytes(out)


def read_registers(query: Mapping[int, Resolution]) -> bytes:
  """Returns subframes that ask for registers in the given number types."""
  runs = _runs(sorted(query), query)
  return b"".join(_head(Kind.READ, res, count, first) for first, count, res in runs)


def register_error(kind: Kind, register: int, code: int) -> bytes:
  """Returns the subframe that reports a register that cannot be written or read.

  Args:
    kind: ``Kind.WRITE_ERROR`` or ``Kind.READ_ERROR``.
    register: its number.
    code: 1 unknown register, 2 not writable, 3 invalid value.
  """
  return bytes([kind]) + _varuint(register) + _varuint(code)


def parse(data: bytes) -> list[Subframe]:
  """Returns the subframes of a frame, one entry per register; NOPs are skipped.

  Raises:
    FrameError: anything that is not such a frame; nothing else is ever raised.
  """
  if len(data) > MAX_BYTES:
    raise FrameError(f"{len(data)} bytes, more than the {MAX_BYTES} of a CAN-FD frame.")
  found: list[Subframe] = []
  offset = 0
  while offset < len(data):
    if data[offset] == PADDING:
      offset += 1
    elif data[offset] in (Kind.WRITE_ERROR, Kind.READ_ERROR):
      kind = Kind(data[offset])
      register, offset = _number(data, offset + 1)
      code, offset = _number(data, offset)
      found.append(Subframe(kind, register, None, code))
    else:
      registers, offset = _parse_registers(data, offset)
      found += registers
  return found


def _parse_registers(data: bytes, offset: int) -> tuple[list[Subframe], int]:
  """Returns the registers of the subframe at ``offset`` and the offset after it."""
  start, code = offset, data[offset]
  if code not in _STARTS:
    raise FrameError(f"byte {start} is 0x{code:02x}, not the start of a subframe.")
  kind, resolution, count = _STARTS[code]
  offset += 1
  if not count:
    count, offset = _number(data, offset)
  if not count:
    return [], offset
  first, offset = _number(data, offset)
  # A read of more could not be answered in a frame, and memory for it would be unbounded.
  if count > MAX_BYTES or first + count - 1 > _LARGEST_NUMBER:
    raise FrameError(f"byte {start}: {count} registers from 0x{first:x} on do not exist.")
  if kind is Kind.READ:
    numbers = range(first, first + count)
    return [Subframe(kind, register, resolution, None) for register in numbers], offset
  if offset + count * resolution.size > len(data):
    raise FrameError(f"byte {start}: {count} values of {resolution.size} bytes are cut off.")
  values = unpack_raw(data, offset, count, resolution)
  found = [Subframe(kind, first + i, resolution, value) for i, value in enumerate(values)]
  return found, offset + count * resolution.size


def _runs(
  registers: list[int], resolutions: Mapping[int, Resolution]
) -> Iterable[tuple[int, int, Resolution]]:
  """Yields first register, count and resolution of runs that one subframe can hold."""
  start = 0
  for end in range(1, len(registers) + 1):
    first, resolution = registers[start], resolutions[registers[start]]
    if (
      end == len(registers)
      or registers[end] != first + end - start
      or resolutions[registers[end]] != resolution
    ):
      yield first, end - start, Resolution(resolution)
      start = end


def _head(kind: Kind, resolution: Resolution, count: int, first: int) -> bytes:
  code = kind | resolution << 2
  head = bytes([code | count]) if count <= 3 else bytes([code]) + _varuint(count)
  return head + _varuint(first)


def _varuint(number: int) -> bytes:
  """Returns a number in groups of 7 bits, least significant first."""
  out = bytearray()
  while number > 0x7F:
    out.append(number & 0x7F | 0x80)
    number >>= 7
  return bytes([*out, number])


def _number(data: bytes, offset: int) -> tuple[int, int]:
  """Returns the varuint at ``offset`` and the offset after it."""
  number = 0
  for i, byte in enumerate(data[offset : offset + 5]):
    number |= (byte & 0x7F) << 7 * i
    if byte < 0x80 and number <= _LARGEST_NUMBER:
      return number, offset + i + 1
  raise FrameError(f"byte {offset}: a number of at most 32 bits is cut off or too large.")
