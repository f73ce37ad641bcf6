import os
import tty

import pytest
from moteus_cases import IDS, eventually, leg, soon

from hardware.buses.moteus import commands
from hardware.buses.moteus.transports.fdcanusb import Fdcanusb
from hardware.buses.moteus.transports.transport import TransportError
from hardware.emulators.moteus.fdcanusb_port import FdcanusbPort

pytest.importorskip("serial")


def queries(*controllers):
  return [commands.query_frame(controller) for controller in controllers]


@pytest.fixture(params=[False, True], ids=["usb", "uart"])
def link(request):
  port = FdcanusbPort(leg())
  with port:
    transport = Fdcanusb(port.path, checksum=request.param)
    transport.server = port
    yield transport
    transport.close()


def test_a_cycle_commands_and_asks(link):
  torque = commands.torque_command(0.1, 0.4, 1.0)
  frames = [commands.position_frame(i, torque, commands.STATE) for i in IDS]
  assert sorted(link.cycle(frames, soon())) == list(IDS)
  replies = link.cycle(queries(*IDS), soon())
  assert all(replies[i].values[0] == 10 for i in IDS)
  assert not +link.counters


def test_a_missing_controller_costs_its_own_slot(link):
  assert sorted(link.cycle(queries(11, 13, 12), soon(0.3))) == [11, 12]
  assert link.counters["missing"] == 1


def test_an_unplugged_adapter_is_named(link):
  link.server.bench.faults.start("unplugged")
  with pytest.raises(TransportError, match="is lost"):
    for _ in range(50):
      link.cycle(queries(11), soon(0.05))


@pytest.fixture
def wire():
  """A serial port and the other end of it."""
  master, slave = os.openpty()
  tty.setraw(slave)
  transport = Fdcanusb(os.ttyname(slave))
  yield transport, master
  transport.close()
  os.close(master)
  os.close(slave)


@pytest.mark.parametrize(
  ("line", "counter"),
  [
    (b"\xff\xfe\n", "malformed"),
    (b"hello\n", "malformed"),
    (b"rcv b00 0\n", "malformed"),
    (b"OK *00\n", "malformed"),
    (b"ERR queue full\n", "refused"),
    (b"rcv b00 2100\n", "malformed"),
    (b"rcv c00 21000a\n", "unexpected"),
  ],
)
def test_lines_that_are_no_reply_are_counted(wire, line, counter):
  transport, master = wire
  transport._write = lambda data, deadline: os.write(master, line)
  assert transport.cycle(queries(11), soon(0.2)) == {}
  assert transport.counters[counter] == 1 and transport.counters["missing"] == 1


def test_lines_that_came_before_the_request_are_late(wire):
  transport, master = wire
  line = b"rcv b00 21000a\n"
  os.write(master, line)
  assert eventually(lambda: transport._port.in_waiting == len(line))
  assert transport.cycle(queries(11), soon(0.05)) == {}
  assert transport.counters["late"] == 1


def test_an_adapter_that_reads_nothing_is_not_waited_for(wire):
  transport, _ = wire
  with pytest.raises(TransportError, match="is lost"):
    for _ in range(2000):
      transport.cycle(queries(*range(1, 100)), soon(0.002))


def test_no_such_port():
  with pytest.raises(TransportError, match=r"dialout"):
    Fdcanusb("/dev/no-such-port")
