import contextlib
import os
import threading

import pytest
from moteus_cases import IDS, eventually, leg, soon

from hardware.buses.moteus import commands
from hardware.buses.moteus.fdcanusb_lines import LineBuffer, send_line
from hardware.buses.moteus.registers import Register
from hardware.buses.moteus.transports.fdcanusb import Fdcanusb
from hardware.emulators.moteus.fdcanusb_port import FdcanusbPort


@pytest.fixture
def port():
  port = FdcanusbPort(leg())
  with port:
    yield port


def exchange(port, data, count=2):
  """Writes a line and returns those that come back."""
  file = os.open(port.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
  buffer, lines = LineBuffer(), []

  def arrived():
    with contextlib.suppress(BlockingIOError):
      lines.extend(buffer.feed(os.read(file, 4096)))
    return len(lines) >= count

  os.write(file, data)
  eventually(arrived, 1.0)
  os.close(file)
  return lines


def test_a_frame_is_acknowledged_and_answered(port):
  ok, reply = exchange(port, b"can send 800b 1100\n")
  assert ok == b"OK" and reply == b"rcv b00 210000 E B F"


def test_bad_lines_are_refused(port):
  for line in (b"can send 800b 110\n", b"can send 800b 1100 *00\n"):
    assert exchange(port, line, 1)[0].startswith(b"ERR bad line")
  assert exchange(port, b"conf get id.id\n", 1) == [b"ERR unknown command"]


def test_checksums_are_answered_with_checksums(port):
  line = send_line(commands.query_frame(11), checksum=True)
  assert all(line[-3:-2] == b"*" for line in exchange(port, line))


@pytest.mark.parametrize("checksum", [True, False])
def test_a_flipped_bit_costs_the_reply_if_there_is_a_checksum(port, checksum):
  """Without one a wrong value passes, which is why lines of a UART need it."""
  pytest.importorskip("serial")
  transport = Fdcanusb(port.path, checksum=checksum)
  port.bench.faults.start("bit_flip", device=11, count=1)
  frames = [commands.query_frame(i) for i in IDS]
  replies = transport.cycle(frames, soon(0.2))
  if checksum:
    assert sorted(replies) == [12] and transport.counters["malformed"] == 1
  else:
    assert replies[11].values[Register.FAULT] == 1
  assert transport.cycle(frames, soon())[11].values[Register.FAULT] == 0
  transport.close()


def test_clients_may_come_and_go(port):
  for _ in range(3):
    assert exchange(port, b"can send 800b 1100\n")[0] == b"OK"


def test_nothing_is_left_after_a_stop():
  threads = threading.active_count()
  port = FdcanusbPort(leg())
  with port:
    assert os.path.exists(port.path)
  port.stop()
  assert threading.active_count() == threads
  assert not port._open
