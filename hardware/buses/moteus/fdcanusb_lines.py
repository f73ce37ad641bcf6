"""Text lines of mjbots' fdcanusb adapter, and of moteus controllers on a UART.

The host sends ``can send 8001 01000A BF`` and gets ``OK``, or ``ERR`` and a reason; a frame
from the bus is ``rcv 100 2404000a E B F``. Numbers are hexadecimal; flags are ``B`` (bit rate
switch), ``F`` (CAN-FD), ``E`` (29-bit identifier) and their lower-case opposites. A line may
end in `` *XX``, a CRC-8 (polynomial 0x97) of all before the asterisk; on a UART it always does.
"""

from __future__ import annotations

from hardware.buses.moteus.frames import MAX_BYTES, Frame, FrameError, pad

LONGEST_LINE = 512
"""Bytes; longer ones are noise."""
_CRC_POLYNOMIAL = 0x97


def send_line(frame: Frame, checksum: bool = False) -> bytes:
  """Returns the line with which a host sends a frame.

  Args:
    frame: to send; it is padded.
    checksum: whether to append the CRC-8.
  """
  return _line(f"can send {frame.arbitration_id:04x} {pad(frame.data).hex()} BF", checksum)


def receive_line(frame: Frame, checksum: bool = False) -> bytes:
  """Returns the line with which an adapter hands on a frame; arguments as in ``send_line``."""
  extended = "E" if frame.is_extended else "e"
  text = f"rcv {frame.arbitration_id:x} {pad(frame.data).hex()} {extended} B F"
  return _line(text, checksum)


def answer_line(text: str, checksum: bool = False) -> bytes:
  """Returns an adapter's answer, such as ``OK``; arguments as in ``send_line``."""
  return _line(text, checksum)


def split_checksum(line: bytes) -> tuple[str, bool]:
  """Returns the text of a line and whether it had a checksum.

  Raises:
    FrameError: the checksum is wrong, or the line is not text.
  """
  line = line.strip(b"\r\n\0 ")
  try:
    text = line.decode("ascii")
  except UnicodeDecodeError as error:
    raise FrameError(f"line {line[:40]!r} is not text.") from error
  body, star, digits = text.rpartition("*")
  if not star or len(digits) != 2:
    return text, False
  if digits.upper() != f"{crc8(body.encode()):02X}":
    raise FrameError(f"line {text[:40]!r} has a wrong checksum.")
  return body.rstrip(), True


def parse_frame(text: str) -> Frame | None:
  """Returns the frame of a ``rcv`` or ``can send`` line, None for any other line.

  Args:
    text: of a line without its checksum.

  Raises:
    FrameError: the line starts like one of these, but holds no frame.
  """
  words = text.split()
  start = 1 if words[:1] == ["rcv"] else 2 if words[:2] == ["can", "send"] else 0
  if not start:
    return None
  try:
    identifier, data = words[start : start + 2]
    frame = Frame(int(identifier, 16), bytes.fromhex(data))
  except ValueError as error:
    raise FrameError(f"line {text[:60]!r} holds no frame: {error}.") from error
  if len(frame.data) > MAX_BYTES or not 0 <= frame.arbitration_id < 1 << 29:
    raise FrameError(f"line {text[:60]!r} holds a frame that CAN-FD does not have.")
  return frame


def crc8(data: bytes) -> int:
  """Returns the checksum of a line: CRC-8, polynomial 0x97, from 0, most significant first."""
  crc = 0
  for byte in data:
    crc ^= byte
    for _ in range(8):
      crc = (crc << 1 ^ _CRC_POLYNOMIAL if crc & 0x80 else crc << 1) & 0xFF
  return crc


class LineBuffer:
  """Cuts a stream of bytes into lines.

  Attributes:
    overflows: lines longer than ``LONGEST_LINE`` that were thrown away.
  """

  def __init__(self) -> None:
    self.overflows = 0
    self._rest = b""

  def feed(self, data: bytes) -> list[bytes]:
    """Returns the lines that ``data`` completes, without their ends."""
    *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
    if len(self._rest) > LONGEST_LINE:
      self._rest = b""
      self.overflows += 1
    short = [line for line in lines if len(line) <= LONGEST_LINE]
    self.overflows += len(lines) - len(short)
    return [line for line in short if line]


def _line(text: str, checksum: bool) -> bytes:
  data = text.encode()
  if checksum:
    data += b" "
    data += f"*{crc8(data):02X}".encode()
  return data + b"\n"
