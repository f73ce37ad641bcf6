"""Encodes and decodes the packets of Dynamixel protocol 2.0.

A packet is ``FF FF FD 00 | ID | LEN_L LEN_H | INSTRUCTION | PARAMS | CRC_L CRC_H`` with
``LEN = len(PARAMS) + 3``. Stuffing turns ``FF FF FD`` in instruction and parameters into
``FF FF FD FD``, so that a header never appears inside; LEN and CRC count the stuffed bytes.
Source: ROBOTIS e-Manual, "DYNAMIXEL Protocol 2.0".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mbrl_jax.ops.validate import ArgumentError, between

PING, READ, WRITE, REG_WRITE, ACTION = 0x01, 0x02, 0x03, 0x04, 0x05
FACTORY_RESET, REBOOT, CLEAR = 0x06, 0x08, 0x10
SYNC_READ, SYNC_WRITE, FAST_SYNC_READ = 0x82, 0x83, 0x8A
BULK_READ, BULK_WRITE = 0x92, 0x93
STATUS = 0x55

BROADCAST = 0xFE
"""ID of all devices."""
LAST_ID = 0xFC
"""The largest ID that a device can have."""
HEADER = b"\xff\xff\xfd\x00"
LONGEST = 1024
"""Bytes of the longest packet that is accepted."""
OVERHEAD = 10
"""Bytes of a packet without parameters."""
MULTI_TURN = b"\x01\x44\x58\x4c\x22"
"""Parameters of CLEAR that reset the turns of the present position."""

ALERT = 0x80
"""Bit of the error byte: the hardware error register is not zero."""
RESULT, INSTRUCTION, CRC, DATA_RANGE, DATA_LENGTH, DATA_LIMIT, ACCESS = range(1, 8)
ERRORS = {
  RESULT: "failed to process the instruction",
  INSTRUCTION: "undefined instruction",
  CRC: "CRC of the instruction was wrong",
  DATA_RANGE: "value out of range",
  DATA_LENGTH: "data too short or too long for the register",
  DATA_LIMIT: "value beyond a limit register",
  ACCESS: "register is read-only, does not exist, or is locked while torque is on",
}


def _crc_table() -> tuple[int, ...]:
  """Returns the remainder of each byte for the polynomial 0x8005, high bit first."""
  table = []
  for byte in range(256):
    crc = byte << 8
    for _ in range(8):
      crc = (crc << 1) ^ (0x8005 if crc & 0x8000 else 0)
    table.append(crc & 0xFFFF)
  return tuple(table)


_CRC = _crc_table()


def crc16(data: bytes, crc: int = 0) -> int:
  """Returns the CRC of ``data``, continued from ``crc``.

  Example:
    >>> from hardware.buses.dynamixel.frames import crc16
    >>> hex(crc16(bytes.fromhex("fffffd0001030001")))
    '0x4e19'
  """
  for byte in data:
    crc = ((crc & 0xFF) << 8) ^ _CRC[(crc >> 8) ^ byte]
  return crc


@dataclass(frozen=True, slots=True)
class Packet:
  """A packet whose CRC is right.

  Attributes:
    id: of the receiver, or of the sender of a status packet.
    instruction: such as ``PING`` or ``STATUS``.
    params: without stuffing; of a fast sync read's answer as transmitted, which has none.
  """

  id: int
  instruction: int
  params: bytes = b""

  @property
  def error(self) -> int:
    """The error byte of a status packet, ``ALERT`` included."""
    return self.params[0]

  @property
  def data(self) -> bytes:
    """The parameters of a status packet after the error byte."""
    return self.params[1:]


def encode(id: int, instruction: int, params: bytes = b"") -> bytes:
  """Returns the bytes of a packet.

  Args:
    id: of the device, 0 to 252, or ``BROADCAST``.
    instruction: code.
    params: before stuffing.

  Raises:
    ArgumentError: no such ID, or too many parameters.
  """
  if id != BROADCAST:
    _check_ids((id,))
  body = bytes((instruction,)) + params
  return _closed(id, body.replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd"))


def _check_ids(ids: Iterable[int]) -> None:
  for id in ids:
    between(0, LAST_ID, id=id)


def _closed(id: int, body: bytes) -> bytes:
  """Adds header and CRC to instruction and parameters."""
  if len(body) + 9 > LONGEST:
    raise ArgumentError(
      "params", len(body) - 1, f"bytes make a packet longer than {LONGEST} bytes; split it."
    )
  packet = HEADER + struct.pack("<BH", id, len(body) + 2) + body
  return packet + struct.pack("<H", crc16(packet))


def status(id: int, error: int = 0, data: bytes = b"") -> bytes:
  """Returns a status packet: what device ``id`` answers."""
  return encode(id, STATUS, bytes((error,)) + data)


def read_params(address: int, length: int) -> bytes:
  """Returns the parameters of READ."""
  return struct.pack("<HH", address, length)


def write_params(address: int, data: bytes) -> bytes:
  """Returns the parameters of WRITE and REG_WRITE."""
  return struct.pack("<H", address) + data


def sync_read_params(address: int, length: int, ids: Iterable[int]) -> bytes:
  """Returns the parameters of SYNC_READ and FAST_SYNC_READ.

  Raises:
    ArgumentError: no such ID.
  """
  ids = [*ids]
  _check_ids(ids)
  return struct.pack("<HH", address, length) + bytes(ids)


def sync_write_params(address: int, length: int, data: Mapping[int, bytes]) -> bytes:
  """Returns the parameters of SYNC_WRITE.

  Raises:
    ArgumentError: no such ID, or some data is not of ``length`` bytes.
  """
  _check_ids(data)
  for id, each in data.items():
    if len(each) != length:
      raise ArgumentError("data", each, f"of id {id} must have {{}} bytes.", ("length", length))
  parts = (bytes((id,)) + each for id, each in data.items())
  return struct.pack("<HH", address, length) + b"".join(parts)


def bulk_read_params(spans: Mapping[int, tuple[int, int]]) -> bytes:
  """Returns the parameters of BULK_READ from ``{id: (address, length)}``.

  Raises:
    ArgumentError: no such ID.
  """
  _check_ids(spans)
  return b"".join(struct.pack("<BHH", id, *span) for id, span in spans.items())


def bulk_write_params(writes: Mapping[int, tuple[int, bytes]]) -> bytes:
  """Returns the parameters of BULK_WRITE from ``{id: (address, data)}``.

  Raises:
    ArgumentError: no such ID.
  """
  _check_ids(writes)
  parts = (struct.pack("<BHH", id, at, len(data)) + data for id, (at, data) in writes.items())
  return b"".join(parts)


def fast_status(parts: Sequence[tuple[int, int, bytes]], count: int | None = None) -> bytes:
  """Returns the one answer of all devices to FAST_SYNC_READ, which has no stuffing.

  Each device adds error, ID, data and the CRC of everything before; the last CRC closes it.

  Args:
    parts: ``(id, error, data)`` of each device, in the order of the request.
    count: devices that were asked, if fewer answer: the packet stays unfinished.
  """
  asked = len(parts) if count is None else count
  size = 1 + asked * (4 + len(parts[0][2])) if parts else 1
  packet = HEADER + struct.pack("<BH", BROADCAST, size) + bytes((STATUS,))
  for id, error, data in parts:
    packet += bytes((error, id)) + data
    packet += struct.pack("<H", crc16(packet))
  return packet


def split_fast_status(packet: bytes, length: int) -> list[tuple[int, int, bytes]]:
  """Splits the answer to FAST_SYNC_READ, also one that ends early.

  Args:
    packet: from the header on, as transmitted.
    length: bytes that each device was asked for.

  Returns:
    ``(id, error, data)`` of all devices if the last CRC, which covers the packet, is right;
    otherwise of those before the first whose own CRC is wrong or missing.
  """
  size = int.from_bytes(packet[5:7], "little") + 7
  whole = len(packet) >= size and crc16(packet[: size - 2]) == _word(packet, size - 2)
  found: list[tuple[int, int, bytes]] = []
  crc, at = crc16(packet[:8]), 8
  while min(len(packet), size) >= at + length + 4:
    part, end = packet[at : at + length + 2], at + length + 4
    crc = crc16(part, crc)
    if not whole and crc != _word(packet, end - 2):
      break
    crc = crc16(packet[end - 2 : end], crc)
    found.append((part[1], part[0], part[2:]))
    at = end
  return found


def _word(packet: bytes, at: int) -> int:
  return int.from_bytes(packet[at : at + 2], "little")
