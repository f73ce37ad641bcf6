import contextlib
import math
import random
import struct

import pytest

from hardware.buses.udp.datagrams import (
  Command,
  DatagramError,
  Stamp,
  State,
  pack_command,
  pack_state,
  unpack_command,
  unpack_state,
)

STAMP, OTHER = Stamp(7, 2**32 - 1, 2**63), Stamp(9, 3, 4)
COMMANDS = [
  Command((0.1, -0.2), reset, stamp) for reset in (False, True) for stamp in (None, STAMP)
]
STATES = [
  State((1.0, 2.0), (3.0, 4.0)),
  State((1.0, 2.0), (3.0, 4.0), (True, False), STAMP, OTHER),
  State((1.0, 2.0), (3.0, 4.0), (False, True), STAMP, OTHER),
]


def test_legacy_datagrams_are_the_original_s():
  assert pack_command(Command((0.25, -0.5), True)) == struct.pack("<3d", 0.25, -0.5, 1.0)
  data = struct.pack("<4d", 1.0, 3.0, 2.0, 4.0)  # position 0, velocity 0, position 1, ...
  assert pack_state(STATES[0]) == data and unpack_state(data, False) == STATES[0]


def test_a_golden_stamped_datagram():
  data = pack_command(Command((1.0, -2.0), True, Stamp(1, 2, 3)))
  expected = "4d4c45470101010001000000020000000300000000000000"
  expected += "000000000000f03f00000000000000c0"
  assert data[:-4].hex() == expected and len(data) == 44
  assert data[-4:] == struct.pack("<I", bitwise_crc32(data[:-4]))


def bitwise_crc32(data):
  """Computes CRC-32 (0x04C11DB7, reflected) a bit at a time."""
  crc = 0xFFFFFFFF
  for byte in data:
    crc ^= byte
    for _ in range(8):
      crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
  return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_round_trip(command):
  assert unpack_command(pack_command(command), command.stamp is not None) == command


@pytest.mark.parametrize("state", STATES)
def test_states_round_trip(state):
  assert unpack_state(pack_state(state), state.stamp is not None) == state


@pytest.mark.parametrize("stamped", [False, True])
def test_numbers_that_are_not_finite_are_refused(stamped):
  stamp = STAMP if stamped else None
  with pytest.raises(DatagramError, match="not all finite"):
    unpack_command(pack_command(Command((math.nan, 0.0), False, stamp)), stamped)
  with pytest.raises(DatagramError, match="not all finite"):
    state = State((0.0, math.inf), (0.0, 0.0), stamp=stamp)
    unpack_state(pack_state(state), stamped)


def test_a_joint_that_was_not_measured_may_be_nan():
  state = State((1.0, math.nan), (2.0, math.nan), (True, False), STAMP, OTHER)
  got = unpack_state(pack_state(state), True)
  assert got.valid == (True, False) and math.isnan(got.positions[1])


def test_any_changed_bit_is_noticed():
  data = pack_state(STATES[1])
  for bit in range(8 * len(data)):
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DatagramError):
      unpack_state(bytes(flipped), True)


def test_commands_states_and_formats_are_not_confused():
  with pytest.raises(DatagramError, match="bytes, not"):
    unpack_state(pack_command(COMMANDS[1]), True)
  with pytest.raises(DatagramError, match="bytes, not 24"):
    unpack_command(pack_command(COMMANDS[1]), False)
  with pytest.raises(DatagramError, match="not b'MLEG'"):
    unpack_command(pack_command(COMMANDS[0]), True)


def test_nothing_but_the_named_error_is_raised():
  draw = random.Random(0)
  for _ in range(3000):
    data = draw.randbytes(draw.choice((0, 3, 4, 24, 32, 44, 76)))
    data = draw.choice((data, b"MLEG\1\2" + data[6:]))
    for unpack in (unpack_command, unpack_state):
      for stamped in (False, True):
        with contextlib.suppress(DatagramError):
          unpack(data, stamped)
