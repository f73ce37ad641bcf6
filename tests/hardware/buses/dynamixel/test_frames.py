"""Frames against those that the manual prints, and against damage."""

import random
import re

import pytest

from hardware.buses.dynamixel import frames
from hardware.buses.dynamixel.parser import Parser
from mbrl_jax.ops.validate import ArgumentError

# Frames of the e-Manual: CRC as printed there, low byte first.
GOLDEN = [
  ("ping", frames.encode(1, frames.PING), "FFFFFD00 01 0300 01 194E"),
  ("pong", frames.status(1, 0, b"\x06\x04\x26"), "FFFFFD00 01 0700 55 00 0604 26 655D"),
  (
    "read",
    frames.encode(1, frames.READ, frames.read_params(132, 4)),
    "FFFFFD00 01 0700 02 84000400 1D15",
  ),
  ("read answer", frames.status(1, 0, b"\xa6\0\0\0"), "FFFFFD00 01 0800 55 00 A6000000 8CC0"),
  (
    "write",
    frames.encode(1, frames.WRITE, frames.write_params(116, b"\0\2\0\0")),
    "FFFFFD00 01 0900 03 7400 00020000 CA89",
  ),
  ("write answer", frames.status(1), "FFFFFD00 01 0400 55 00 A10C"),
  (
    "sync read",
    frames.encode(0xFE, frames.SYNC_READ, frames.sync_read_params(132, 4, [1, 2])),
    "FFFFFD00 FE 0900 82 8400 0400 01 02 CEFA",
  ),
  (
    "sync write",
    frames.encode(
      0xFE,
      frames.SYNC_WRITE,
      frames.sync_write_params(116, 4, {1: b"\x96\0\0\0", 2: b"\xaa\0\0\0"}),
    ),
    "FFFFFD00 FE 1100 83 7400 0400 01 96000000 02 AA000000 8287",
  ),
  (
    "bulk read",
    frames.encode(0xFE, frames.BULK_READ, frames.bulk_read_params({1: (144, 2), 2: (146, 1)})),
    "FFFFFD00 FE 0D00 92 01 9000 0200 02 9200 0100 1A05",
  ),
  (
    "bulk write",
    frames.encode(
      0xFE,
      frames.BULK_WRITE,
      frames.bulk_write_params({1: (32, b"\xa0\0"), 2: (31, b"\x50")}),
    ),
    "FFFFFD00 FE 1000 93 01 2000 0200 A000 02 1F00 0100 50 B768",
  ),
  ("reboot", frames.encode(1, frames.REBOOT), "FFFFFD00 01 0300 08 2F4E"),
  (
    "clear",
    frames.encode(1, frames.CLEAR, frames.MULTI_TURN),
    "FFFFFD00 01 0800 10 0144584C22 B1DC",
  ),
]


def bitwise_crc(data):
  """The CRC by its definition, without a table."""
  crc = 0
  for byte in data:
    for bit in range(7, -1, -1):
      top = crc >> 15 ^ byte >> bit & 1
      crc = crc << 1 & 0xFFFF ^ (0x8005 if top else 0)
  return crc


def draw(random):
  """Draws parameters in which headers, whole and partial, are frequent."""
  return bytes(
    byte
    for _ in range(random.randrange(12))
    for byte in random.choice([b"\xff\xff\xfd", b"\xff\xff\xfd\xfd", b"\xff", b"\xfd", b"\0\7"])
  )


@pytest.mark.parametrize(
  ("built", "expected"), [g[1:] for g in GOLDEN], ids=[g[0] for g in GOLDEN]
)
def test_frames_of_the_manual(built, expected):
  assert built == bytes.fromhex(expected)


def test_crc_is_the_polynomial_division():
  draws = random.Random(0)
  for size in range(60):
    data = draws.randbytes(size)
    assert frames.crc16(data) == bitwise_crc(data)
    assert frames.crc16(data[7:], frames.crc16(data[:7])) == bitwise_crc(data)


def test_packets_round_trip_and_hide_headers():
  draws = random.Random(1)
  for _ in range(300):
    params, id = draw(draws), draws.choice([0, 1, 252])
    raw = frames.encode(id, frames.WRITE, params)
    assert frames.HEADER not in raw[7:-2]
    assert not re.search(rb"\xff\xff\xfd(?!\xfd)", raw[7:-2])
    assert len(raw) == 7 + int.from_bytes(raw[5:7], "little")
    assert Parser().feed(raw) == [frames.Packet(id, frames.WRITE, params)]


def test_stuffing_by_hand():
  raw = frames.encode(1, frames.WRITE, bytes.fromhex("7400 FFFFFD00"))
  assert raw[5:7] == b"\x0a\0" and raw[8:-2] == bytes.fromhex("7400 FFFFFDFD00")


def test_bad_arguments_are_refused():
  with pytest.raises(ArgumentError, match="id=253"):
    frames.encode(253, frames.PING)
  with pytest.raises(ArgumentError, match="id=254"):
    frames.sync_read_params(132, 4, [1, 254])
  with pytest.raises(ArgumentError, match="split it"):
    frames.encode(1, frames.WRITE, bytes(1024))
  with pytest.raises(ArgumentError, match="id 2 must have length=4 bytes"):
    frames.sync_write_params(116, 4, {1: bytes(4), 2: bytes(3)})


def test_fast_status_has_a_crc_per_device():
  parts = [(3, 0, b"\xff\xff\xfd\0"), (7, 0x80, b"\1\2\3\4"), (1, 0, bytes(4))]
  raw = frames.fast_status(parts)
  assert raw[:9] == bytes.fromhex("FFFFFD00 FE 1900 55 00") and len(raw) == 7 + 1 + 3 * 8
  for end in (16, 24, 32):
    assert raw[end - 2 : end] == bitwise_crc(raw[: end - 2]).to_bytes(2, "little")
  assert frames.split_fast_status(raw, 4) == parts
  (packet,) = Parser().feed(raw)
  assert packet.params == raw[8:-2]  # not unstuffed


def test_last_crc_vouches_for_the_whole_fast_status():
  """How devices count the CRCs in between is checked only if the packet is not whole."""
  raw = bytearray(frames.fast_status([(3, 0, bytes(4)), (1, 0, b"\1\2\3\4")]))
  raw[14:16] = b"\x12\x34"
  assert frames.split_fast_status(bytes(raw), 4) == []
  raw[-2:] = bitwise_crc(raw[:-2]).to_bytes(2, "little")
  assert frames.split_fast_status(bytes(raw), 4) == [(3, 0, bytes(4)), (1, 0, b"\1\2\3\4")]


def test_fast_status_that_ends_early_gives_what_came():
  parts = [(3, 0, bytes(4)), (7, 0, b"\1\2\3\4"), (1, 0, bytes(4))]
  raw = frames.fast_status(parts)
  assert frames.fast_status(parts[:2], 3) == raw[:24]
  assert frames.split_fast_status(raw[:31], 4) == parts[:2]
  assert frames.split_fast_status(raw[:20] + b"\x55" + raw[21:], 4) == parts[:1]
