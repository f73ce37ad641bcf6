"""Every fault by name on the virtual CAN bus, seen by our client; and how a carrier ends."""

import threading

import pytest
from moteus_cases import IDS, channel, eventually, leg, soon

from hardware.buses.moteus import commands
from hardware.buses.moteus.registers import Mode, Register
from hardware.buses.moteus.transports.python_can import PythonCan
from hardware.emulators.moteus import carrier
from hardware.emulators.moteus.bench import FAULTS
from hardware.emulators.moteus.can_bus import CanBus

pytest.importorskip("can")


@pytest.fixture
def wire():
  name = channel()
  bus = CanBus(leg(), "virtual", name)
  with bus:
    transport = PythonCan("virtual", name)
    yield transport, bus
    transport.close()


def ask(transport, seconds=1.0):
  return transport.cycle([commands.query_frame(i) for i in IDS], soon(seconds))


def hold(transport, seconds=1.0, timeout=1.0):
  command = commands.PositionCommand(0.4, timeout)
  frames = [commands.position_frame(i, command, commands.STATE) for i in IDS]
  return transport.cycle(frames, soon(seconds))


@pytest.mark.parametrize("name", ["drop", "bit_flip", "delay", "truncated", "silent"])
def test_a_reply_that_does_not_come_costs_its_own_slot(wire, name, monkeypatch):
  monkeypatch.setattr(carrier, "DELAY", 0.6)
  transport, bus = wire
  bus.bench.faults.start(name, device=11, count=1)
  assert sorted(ask(transport, 0.3)) == [12]
  assert transport.counters["missing"] == 1
  assert transport.counters["malformed"] == (name == "truncated")
  bus.bench.faults.stop()
  assert sorted(ask(transport)) == list(IDS)


def test_a_duplicate_is_counted_and_not_taken_for_the_next_reply(wire):
  transport, bus = wire
  bus.bench.faults.start("duplicate", device=11, count=1)
  assert sorted(ask(transport)) == list(IDS)
  assert eventually(lambda: sorted(ask(transport)) == list(IDS))
  assert transport.counters["unexpected"] + transport.counters["late"] == 1


def test_a_stale_reply_cannot_be_told_from_a_new_one(wire):
  transport, bus = wire
  ask(transport)
  bus.bench.faults.start("stale", count=2)
  with bus.lock:
    bus.bench.physics.positions += 0.25
    bus.bench.advance(0.0)
  stale = ask(transport)
  assert {reply.values[Register.POSITION] for reply in stale.values()} == {0.0}
  fresh = ask(transport)
  assert {reply.values[Register.POSITION] for reply in fresh.values()} == {0.25}


def test_a_dropped_reply_s_command_is_executed(wire):
  transport, bus = wire
  bus.bench.faults.start("drop")
  hold(transport, 0.1)
  bus.bench.faults.stop()
  replies = ask(transport)
  assert {reply.values[Register.MODE] for reply in replies.values()} == {Mode.POSITION}


@pytest.mark.parametrize("name", ["silent", "unplugged"])
def test_controllers_that_hear_nothing_time_out(wire, name):
  transport, bus = wire
  hold(transport, timeout=0.1)
  bus.bench.faults.start(name)
  assert hold(transport, 0.1, timeout=0.1) == {}
  assert eventually(lambda: all(c.mode is Mode.TIMEOUT for c in bus.bench.controllers))
  bus.bench.faults.stop()
  replies = hold(transport)
  assert {reply.values[Register.MODE] for reply in replies.values()} == {Mode.TIMEOUT}
  transport.cycle([commands.stop_frame(i) for i in IDS], soon(0.1))
  assert ask(transport)[11].values[Register.MODE] == Mode.STOPPED


@pytest.mark.parametrize(("name", "code"), [("over_temperature", 38), ("voltage_dip", 40)])
def test_a_fault_of_the_board_stops_it_and_is_reported(wire, name, code):
  transport, bus = wire
  hold(transport)
  bus.bench.faults.start(name, device=12)
  assert eventually(lambda: bus.bench.controllers[1].mode is Mode.FAULT)
  replies = hold(transport)
  assert replies[11].values[Register.MODE] == Mode.POSITION
  assert replies[12].values[Register.MODE] == Mode.FAULT
  assert replies[12].values[Register.FAULT] == code
  assert replies[12].values[Register.TORQUE] == 0


def test_every_fault_is_tested():
  names = {"drop", "bit_flip", "delay", "truncated", "silent", "duplicate", "stale"}
  assert names | {"unplugged", "over_temperature", "voltage_dip"} == set(FAULTS)


def test_nothing_is_left_after_a_stop():
  before = threading.active_count()
  bus = CanBus(leg(), "virtual", channel())
  with bus:
    assert threading.active_count() == before + 1
  bus.stop()
  assert threading.active_count() == before
