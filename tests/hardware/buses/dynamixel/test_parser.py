"""The parser finds every whole packet, whatever else the line carries."""

import random

import pytest

from hardware.buses.dynamixel import frames
from hardware.buses.dynamixel.parser import Parser

FIRST = frames.status(1, 0, b"\xff\xff\xfd\0\1")
SECOND = frames.status(2, 0, b"\5\6\7\x08")
PACKETS = [
  frames.Packet(1, frames.STATUS, b"\0\xff\xff\xfd\0\1"),
  frames.Packet(2, frames.STATUS, b"\0\5\6\7\x08"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_pieces_of_any_size_give_the_same(size):
  stream, parser, found = b"\0\xff\xff" + FIRST + b"\xfd\xff" + SECOND, Parser(), []
  for at in range(0, len(stream), size):
    found += parser.feed(stream[at : at + size])
  assert found == PACKETS and parser.noise_bytes == 5 and parser.crc_errors == 0


def test_every_flipped_bit_is_rejected_and_the_next_packet_found():
  for bit in range(8 * len(FIRST)):
    damaged = bytearray(FIRST)
    damaged[bit // 8] ^= 1 << bit % 8
    parser = Parser()
    found = parser.feed(bytes(damaged) + SECOND)
    found += parser.flush()
    assert found == PACKETS[1:], f"bit {bit}"
    assert parser.noise_bytes == len(FIRST) and parser.rest == b""


def test_damaged_packets_name_their_sender():
  parser = Parser()
  parser.feed(FIRST[:-1] + bytes((FIRST[-1] ^ 1,)))
  assert parser.damaged == [1] and parser.crc_errors == 1
  parser.reset()
  assert parser.damaged == [] and parser.crc_errors == 1


@pytest.mark.parametrize("kept", range(1, len(FIRST)))
def test_packet_that_ends_early_does_not_swallow_the_next(kept):
  parser = Parser()
  found = parser.feed(FIRST[:kept] + SECOND) + parser.flush()
  assert found == PACKETS[1:]


def test_next_header_ends_a_packet_before_its_length():
  """The reader must not wait for bytes that a truncated packet announced."""
  long = frames.status(1, 0, bytes(40))
  assert Parser().feed(long[:12] + SECOND) == PACKETS[1:]


def test_header_across_parameters_and_crc_is_no_next_packet():
  """Parameters that end in FF FF and a CRC of FD 00 look like a header."""
  for number in range(1 << 17):
    raw = frames.encode(1, frames.WRITE, number.to_bytes(3, "little") + b"\xff\xff")
    if raw[-2:] == b"\xfd\0":
      break
  parser, found = Parser(), []
  for byte in raw:
    found += parser.feed(bytes((byte,)))
  assert len(found) == 1 and parser.crc_errors == 0


@pytest.mark.parametrize("header", ["FFFFFD00 FF 0300", "FFFFFD00 01 0200", "FFFFFD00 01 FFFF"])
def test_impossible_headers_are_noise(header):
  parser = Parser()
  assert parser.feed(bytes.fromhex(header) + SECOND) == PACKETS[1:]
  assert parser.noise_bytes == 7


def test_status_without_error_byte_is_damaged():
  parser = Parser()
  assert parser.feed(frames.encode(1, frames.STATUS)) == [] and parser.crc_errors == 1


def test_random_bytes_never_raise():
  draws, parser = random.Random(0), Parser()
  for _ in range(2000):
    piece = draws.choice([draws.randbytes(9), frames.HEADER, FIRST[: draws.randrange(15)]])
    parser.feed(piece)
  parser.flush()
  assert parser.feed(SECOND) == PACKETS[1:] and parser.rest == b""
