import sys
import time

import pytest
from moteus_cases import IDS, channel, leg, soon

from hardware.buses.moteus import commands
from hardware.buses.moteus.transports.python_can import PythonCan
from hardware.buses.moteus.transports.transport import TransportError
from hardware.emulators.moteus.can_bus import CanBus

can = pytest.importorskip("can")


@pytest.fixture
def link():
  name = channel()
  with CanBus(leg(), "virtual", name) as bus:
    transport = PythonCan("virtual", name)
    transport.bus = bus
    yield transport
    transport.close()


def queries(*controllers):
  return [commands.query_frame(controller) for controller in controllers]


def test_a_cycle_commands_and_asks(link):
  torque = commands.torque_command(0.1, 0.4, 1.0)
  frames = [commands.position_frame(i, torque, commands.STATE) for i in IDS]
  assert sorted(link.cycle(frames, soon())) == list(IDS)
  replies = link.cycle(queries(*IDS), soon())
  assert all(replies[i].values[0] == 10 for i in IDS)


def test_a_missing_controller_costs_its_own_slot_and_at_most_the_deadline(link):
  start = time.monotonic()
  replies = link.cycle(queries(11, 13, 12), soon(0.3))
  assert sorted(replies) == [11, 12] and link.counters["missing"] == 1
  assert time.monotonic() - start < 2.0


def test_nobody_on_the_bus():
  transport = PythonCan("virtual", channel())
  assert transport.cycle(queries(11), soon(0.02)) == {}
  transport.close()


def test_a_reply_after_its_deadline_is_not_taken_for_the_next(link):
  link.bus.bench.faults.start("delay", count=1)
  assert link.cycle(queries(11), soon(0.01)) == {}
  time.sleep(0.3)
  assert sorted(link.cycle(queries(11), soon())) == [11] and link.counters["late"] == 1


def test_error_frames_are_skipped(link):
  other = can.Bus(interface="virtual", channel=link.bus._bus.channel_id, fd=True)
  other.send(can.Message(is_error_frame=True))
  assert sorted(link.cycle(queries(11), soon())) == [11]
  other.shutdown()


def test_a_bus_that_is_gone_is_named(link):
  link._bus.shutdown()
  with pytest.raises(TransportError, match=r"CAN bus virtual:test-\d+ is lost"):
    link.cycle(queries(11), soon(0.1))


def test_a_bus_that_cannot_send_is_named(link, monkeypatch):
  def refuse(message, timeout):
    raise can.CanOperationError("no buffer space")

  monkeypatch.setattr(link._bus, "send", refuse)
  with pytest.raises(TransportError, match="no buffer space"):
    link.cycle(queries(11), soon(0.1))
  assert link.counters["unsent"] == 1


def test_no_such_interface():
  with pytest.raises(TransportError, match="cannot be opened"):
    PythonCan("socketcan", "no-such-can0")


def test_without_python_can_it_says_what_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, "can", None)
  with pytest.raises(ImportError, match=r'pip install "mbrl_jax\[hardware\]"'):
    PythonCan("virtual", "x")
