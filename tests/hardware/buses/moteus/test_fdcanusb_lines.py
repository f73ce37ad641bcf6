import random

import pytest

from hardware.buses.moteus import fdcanusb_lines as lines
from hardware.buses.moteus.frames import Frame, FrameError

FRAME = Frame(0x8001, bytes.fromhex("01000a07206000200150ff140400130d"))


def test_lines_of_the_reference():
  assert lines.send_line(FRAME) == b"can send 8001 01000a07206000200150ff140400130d BF\n"
  assert lines.parse_frame("can send 8001 01000a07206000200150ff140400130d") == FRAME
  reply = lines.parse_frame("rcv 100 2404000a005000000170ff230d181400 e b f")
  assert reply == Frame(0x100, bytes.fromhex("2404000a005000000170ff230d181400"))
  assert lines.parse_frame("OK") is None and lines.parse_frame("ERR unknown command") is None


@pytest.mark.parametrize("checksum", [False, True])
def test_frames_round_trip(checksum):
  for make in (lines.send_line, lines.receive_line):
    text, checked = lines.split_checksum(make(FRAME, checksum))
    assert lines.parse_frame(text) == FRAME and checked is checksum
  text, _ = lines.split_checksum(lines.answer_line("OK", checksum))
  assert text == "OK"


def test_checksums_are_those_of_moteus_own_client():
  device = pytest.importorskip("moteus.fdcanusb_device")
  draw = random.Random(0)
  for _ in range(100):
    data = draw.randbytes(20)
    assert lines.crc8(data) == device._compute_crc8(data)
  line = lines.send_line(FRAME, checksum=True).rstrip()
  assert device._strip_and_validate_checksum(line)[1:] == (True, True)


@pytest.mark.parametrize(
  "line",
  [
    *("rcv", "rcv 100", "rcv 1g0 00", "rcv 100 0", "rcv 100 xy", "can send"),
    *("rcv 100 " + "00" * 65, "rcv -1 00", "rcv 20000000 00"),
  ],
)
def test_lines_without_a_frame_are_refused_by_name(line):
  with pytest.raises(FrameError):
    lines.parse_frame(line)


def test_a_flipped_bit_is_noticed():
  line = bytearray(lines.receive_line(FRAME, checksum=True).rstrip())
  for at in range(len(line) - 4):  # in front of the checksum
    line[at] ^= 1
    with pytest.raises(FrameError):
      lines.split_checksum(bytes(line))
    line[at] ^= 1
  with pytest.raises(FrameError, match="not text"):
    lines.split_checksum(b"rcv \xff")


def test_a_stream_is_cut_into_lines():
  buffer = lines.LineBuffer()
  assert buffer.feed(b"OK\r\nrcv 1") == [b"OK"]
  assert buffer.feed(b"00 50\n\nOK\n") == [b"rcv 100 50", b"OK"]
  assert buffer.feed(b"x" * 600) == [] and buffer.overflows == 1
  assert buffer.feed(b"\nOK\n" + b"y" * 600 + b"\n") == [b"OK"] and buffer.overflows == 2
