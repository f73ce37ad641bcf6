import random

import pytest

from hardware.buses.moteus import frames
from hardware.buses.moteus.frames import Frame, FrameError, Kind, make_id, pad, parse
from hardware.buses.moteus.registers import Register, Resolution
from mbrl_jax.ops.validate import ArgumentError

# From the reference, section A.3, and from moteus' client: make_position(1, 2, query).
GOLDEN_COMMAND = bytes.fromhex("01000a07206000200150ff140400130d")
GOLDEN_REPLY = bytes.fromhex("2404000a005000000170ff230d181400")
GOLDEN_POSITION = bytes.fromhex("01000a0e200000803f0000004011001f01130d")


def kinds(parts):
  return [(part.kind, part.register, part.resolution, part.value) for part in parts]


def test_command_of_the_reference():
  i8, i16 = Resolution.INT8, Resolution.INT16
  expected = [(Kind.WRITE, 0, i8, 10)]
  expected += [(Kind.WRITE, 0x20 + i, i16, v) for i, v in enumerate((96, 288, -176))]
  expected += [(Kind.READ, i, i16, None) for i in range(4)]
  expected += [(Kind.READ, 0xD + i, i8, None) for i in range(3)]
  assert kinds(parse(GOLDEN_COMMAND)) == expected
  command = {Register.COMMAND_POSITION: 0.00961, Register.COMMAND_VELOCITY: 0.072}
  command[Register.COMMAND_TORQUE] = -1.76
  data = frames.write_registers({Register.MODE: 10}, {Register.MODE: i8})
  data += frames.write_registers(command, dict.fromkeys(command, i16))
  data += frames.read_registers({**dict.fromkeys(range(4), i16), 13: i8, 14: i8, 15: i8})
  assert data == GOLDEN_COMMAND


def test_reply_of_the_reference():
  numbers = [part.value for part in parse(GOLDEN_REPLY)]
  assert numbers == [10, 80, 256, -144, 24, 20, 0]
  assert {part.kind for part in parse(GOLDEN_REPLY)} == {Kind.REPLY}


def test_position_frame_of_the_client():
  floats = [p.value for p in parse(GOLDEN_POSITION) if p.resolution is Resolution.FLOAT]
  assert floats == [1.0, 2.0, None, None, None]


def test_identifiers():
  assert make_id(0, 1, reply=True) == 0x8001
  frame = Frame(0x100, b"")
  assert (frame.source, frame.destination, frame.wants_reply) == (1, 0, False)
  assert Frame(0x8001, b"").wants_reply and Frame(0x8001, b"").is_extended
  assert Frame(make_id(11, 0), b"").is_extended and not Frame(0x7FF, b"").is_extended
  with pytest.raises(ArgumentError, match=r"destination=128 must be an id from 0 to 127"):
    make_id(0, 128)


def test_padding_makes_lengths_that_can_fd_has():
  for length in range(65):
    padded = pad(bytes(length))
    assert len(padded) in frames.LENGTHS and len(padded) >= length
    assert set(padded[length:]) <= {0x50}
  assert [len(pad(bytes(n))) for n in (8, 9, 13, 25, 33, 49)] == [8, 12, 16, 32, 48, 64]
  with pytest.raises(FrameError, match="65 bytes"):
    pad(bytes(65))


def test_padding_is_skipped():
  assert parse(pad(GOLDEN_POSITION)) == parse(GOLDEN_POSITION)


def test_long_register_numbers_and_counts():
  query = dict.fromkeys(range(0x7E, 0x84), Resolution.INT16)
  data = frames.read_registers(query)
  assert data == bytes.fromhex("14067e")
  query = dict.fromkeys((0x100, 0x101), Resolution.INT32)
  assert frames.read_registers(query) == bytes.fromhex("1a8002")
  assert [part.register for part in parse(bytes.fromhex("1a8002"))] == [0x100, 0x101]


def test_errors_round_trip():
  data = frames.register_error(Kind.READ_ERROR, 0x155, 1)
  assert kinds(parse(data)) == [(Kind.READ_ERROR, 0x155, None, 1)]
  assert data == bytes.fromhex("31d50201")


@pytest.mark.parametrize(
  "data",
  [
    "60",  # no such subframe
    "40010100",  # the diagnostic stream, which is not used here
    "32",
    "01",  # no register
    "0100",  # no value
    "0e200000803f000000",  # the last float is cut off
    "1c",  # no count
    "1cffffffff0f00",  # four billion registers
    "11ffffffff1f",  # a register of 33 bits
    "11ffffffffff01",  # a number of six bytes
    "12ffffffff0f",  # the second register is one too many
    "3001",
    "00" * 65,
  ],
)
def test_malformed_frames_are_refused_by_name(data):
  with pytest.raises(FrameError):
    parse(bytes.fromhex(data))


def test_nothing_but_the_named_error_is_raised():
  draw = random.Random(0)
  golden = (GOLDEN_COMMAND, GOLDEN_REPLY, GOLDEN_POSITION)
  refused = 0
  for _ in range(20_000):
    data = bytearray(draw.choice(golden) if draw.random() < 0.7 else draw.randbytes(24))
    for _ in range(draw.randint(0, 4)):
      data[draw.randrange(len(data))] = draw.randrange(256)
    try:
      assert len(parse(bytes(data[: draw.randint(0, len(data))]))) <= 64 * 20
    except FrameError:
      refused += 1
  assert 1000 < refused < 20_000


def test_random_registers_round_trip_and_moteus_reads_the_same():
  multiplex = pytest.importorskip("moteus.multiplex")
  draw = random.Random(1)
  for _ in range(300):
    numbers = draw.sample(range(0x200), draw.randint(1, 6))
    types = {number: Resolution(draw.randrange(4)) for number in numbers}
    values = {number: draw.randint(-100, 100) for number in numbers}
    data = frames.write_registers(values, types, draw.choice((Kind.WRITE, Kind.REPLY)))
    parts = parse(data)
    theirs = list(multiplex.parse_frame(data))
    assert [(p.register, p.resolution) for p in parts] == sorted(types.items())
    assert [(t.register, t.resolution, t.value) for t in theirs] == [
      (p.register, p.resolution, p.value) for p in parts
    ]
    query = frames.read_registers(types)
    assert multiplex.QueryParser.parse(query) == sorted(types.items())
