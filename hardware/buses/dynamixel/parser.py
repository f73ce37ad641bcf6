"""Finds packets of protocol 2.0 in a stream of bytes."""

from __future__ import annotations

import struct

from hardware.buses.dynamixel.frames import (
  BROADCAST,
  HEADER,
  LAST_ID,
  LONGEST,
  STATUS,
  Packet,
  crc16,
)

_SHORTEST_LENGTH = 3


class Parser:
  """Takes bytes as they arrive and returns the packets that they complete.

  Noise, packets with a wrong CRC and packets that end early cost only their own bytes: parsing
  goes on at the next header, also if that lies inside the length that a damaged packet claims.

  Attributes:
    noise_bytes: bytes so far that belong to no packet.
    crc_errors: packets so far whose CRC was wrong or that ended early.
    damaged: IDs that the headers of these packets name, since ``reset``.
  """

  def __init__(self) -> None:
    self.noise_bytes, self.crc_errors = 0, 0
    self.damaged: list[int] = []
    self._buffer = bytearray()

  @property
  def rest(self) -> bytes:
    """The bytes of the packet that is not complete yet."""
    return bytes(self._buffer)

  def feed(self, data: bytes) -> list[Packet]:
    """Adds received bytes and returns the packets that are complete."""
    self._buffer += data
    return self._parse(final=False)

  def flush(self) -> list[Packet]:
    """Gives up the packet that is not complete and returns those after its start."""
    return self._parse(final=True)

  def reset(self) -> None:
    """Forgets bytes that were not parsed and the IDs of damaged packets."""
    self.noise_bytes += len(self._buffer)
    self._buffer.clear()
    self.damaged.clear()

  def _parse(self, final: bool) -> list[Packet]:
    packets: list[Packet] = []
    while self._find_header(final):
      size = self._size()
      if size is None and not final:
        break
      if size == 0:
        self._skip(1)  # no packet begins like this
        continue
      if size is None or len(self._buffer) < size:
        if not final and not self._next_header(size):
          break
        self._damaged()
        continue
      packet = self._packet(size)
      if packet is None:
        self._damaged()
      else:
        packets.append(packet)
        del self._buffer[:size]
    return packets

  def _find_header(self, final: bool) -> bool:
    """Drops what precedes the next header; False without a header."""
    at = self._buffer.find(HEADER)
    if at < 0:
      kept = 0 if final else _header_prefix(self._buffer)
      self._skip(len(self._buffer) - kept)
      return False
    self._skip(at)
    return True

  def _size(self) -> int | None:
    """Returns the bytes of the packet at the start; 0: impossible, None: not known yet."""
    if len(self._buffer) < 7:
      return None
    id, length = struct.unpack_from("<BH", self._buffer, 4)
    possible = id <= LAST_ID or id == BROADCAST
    if not possible or not _SHORTEST_LENGTH <= length <= LONGEST - 7:
      return 0
    return length + 7

  def _next_header(self, size: int | None) -> bool:
    """Reports whether another packet begins inside this one, which stuffing forbids.

    The answer to a fast sync read has no stuffing: there only its CRC tells.
    """
    if size is None or (self._buffer[4] == BROADCAST and self._buffer[7:8] == bytes((STATUS,))):
      return False
    return self._buffer.find(HEADER, 7, size - 2) >= 0

  def _packet(self, size: int) -> Packet | None:
    """Returns the packet at the start, None if its CRC is wrong."""
    raw = bytes(self._buffer[:size])
    if crc16(raw[:-2]) != int.from_bytes(raw[-2:], "little"):
      return None
    body, id = raw[7:-2], raw[4]
    if id != BROADCAST or body[0] != STATUS:
      body = body.replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")
    if body[0] == STATUS and len(body) < 2:
      return None  # a status packet has an error byte
    return Packet(id, body[0], body[1:])

  def _damaged(self) -> None:
    """Counts the packet at the start as damaged and looks for another behind its header."""
    self.crc_errors += 1
    if len(self._buffer) > 4:
      self.damaged.append(self._buffer[4])
    self._skip(1)

  def _skip(self, count: int) -> None:
    self.noise_bytes += count
    del self._buffer[:count]


def _header_prefix(data: bytearray) -> int:
  """Returns how many bytes at the end may begin a header."""
  return next((n for n in (3, 2, 1) if data.endswith(HEADER[:n])), 0)
