"""Our client with the emulator: every instruction, and one silent servo of nine."""

import time

import pytest
from dynamixel_rig import IDS, PATIENCE, rig, wait_for

from hardware.buses.dynamixel import frames, registers
from hardware.buses.dynamixel.answer import BusError
from hardware.buses.dynamixel.bus import Bus
from hardware.buses.dynamixel.discovery import Identity, require, scan
from hardware.buses.dynamixel.port import PortError
from hardware.buses.dynamixel.registers import STATE, item
from hardware.emulators.dynamixel.servo import Servo
from mbrl_jax.ops.validate import ArgumentError

STILL = b"\0\0" + b"\0\0\0\0" + (2048).to_bytes(4, "little")


@pytest.fixture
def r():
  with rig() as made:
    yield made


def ok(answers):
  return [id for id, answer in answers.items() if answer.ok]


def test_ping_and_broadcast_ping(r):
  assert r.bus.ping(10).data == b"\x06\x04\x2d"
  assert ok(r.bus.broadcast_ping(0.15)) == IDS
  assert r.bus.ping(99).failure == "silent"


def test_read_and_write(r):
  goal = item("goal_position")
  assert r.bus.read(11, STATE).data == STILL
  assert r.bus.write(11, goal, 1234).data == b""
  assert r.bus.read(11, goal).value(goal) == 1234
  with pytest.raises(ArgumentError, match="goal_position=2147483648"):
    r.bus.write(11, goal, 2**31)


def test_refused_write_names_the_reason_and_is_remembered(r):
  answer = r.bus.write(12, item("goal_position"), 5000)
  assert (answer.failure, answer.error) == ("refused", frames.DATA_LIMIT)
  assert r.bus.health[12].error == frames.DATA_LIMIT and r.bus.health[12].silent == 0
  with pytest.raises(BusError, match="Servo 12 refused the instruction: value beyond a limit"):
    answer.require()
  assert r.bus.ping(12).ok and r.bus.health[12].error == 0


def test_registered_writes_act_together(r):
  for id in (10, 11):
    assert r.bus.reg_write(id, item("led"), 1).ok
  assert r.bus.read(10, item("led")).data == b"\0"
  r.bus.action()
  assert [r.bus.read(id, item("led")).data for id in (10, 11, 12)] == [b"\1", b"\1", b"\0"]


@pytest.mark.parametrize("fast", [False, True])
def test_sync_read_returns_all_in_order_of_the_request(r, fast):
  ids = IDS[::-1]
  answers = r.bus.sync_read(ids, STATE, fast=fast)
  assert ok(answers) == ids and {a.data for a in answers.values()} == {STILL}
  assert r.bus.fast_sync_read(ids, STATE)[32].data == STILL
  assert r.bus.parser.crc_errors == r.bus.parser.noise_bytes == 0


def test_group_writes_and_bulk_read(r):
  r.bus.sync_write(item("goal_position"), {id: 10 * id for id in IDS})
  assert r.bus.read(32, item("goal_position")).value(item("goal_position")) == 320
  r.bus.bulk_write({10: (item("led"), 1), 11: (item("goal_current"), -3)})
  spans = {10: item("led"), 11: item("goal_current"), 20: STATE}
  answers = r.bus.bulk_read(spans)
  assert [a.data for a in answers.values()] == [b"\1", b"\xfd\xff", STILL]


def test_reboot_and_clear(r):
  r.bus.write(10, item("led"), 1)
  assert r.bus.reboot(10).ok
  wait_for(lambda: r.bus.ping(10).ok)
  assert r.bus.read(10, item("led")).data == b"\0"
  assert r.bus.clear(10).ok


def test_headers_in_data_survive_the_way(r):
  for i, byte in enumerate(b"\xff\xff\xfd\x00\xff\xff\xfd\xfd", 1):
    r.bus.write(10, item(f"indirect_data_{i}"), byte)
  assert r.bus.read(10, registers.Span(224, 8)).data == b"\xff\xff\xfd\x00\xff\xff\xfd\xfd"
  for fast in (False, True):
    answers = r.bus.sync_read([10, 11], registers.Span(224, 8), fast=fast)
    assert answers[10].data == b"\xff\xff\xfd\x00\xff\xff\xfd\xfd" and answers[11].ok


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("silent", [10, 21, 32])
def test_one_silent_servo_costs_its_own_slot_only(r, silent, fast):
  others = [id for id in IDS if id != silent]
  r.faults.on("silent", [silent])
  for _ in range(6):
    answers = r.bus.sync_read(IDS, STATE, fast=fast)
    assert list(answers) == IDS and ok(answers) == others
    assert answers[silent].data is None
  assert r.bus.health[silent].silent == 6
  assert all(r.bus.health[id].silent == 0 for id in others)


def test_silent_servo_does_not_cost_the_rate_and_is_found_again(r):
  r.faults.on("silent", [20])
  for _ in range(3):
    assert r.bus.sync_read(IDS, STATE)[20].failure == "silent"
  requests = r.bus.counts.requests
  for _ in range(5):
    assert r.bus.sync_read(IDS, STATE)[20].failure == "unasked"
  assert r.bus.counts.requests == requests + 5  # nothing was asked twice
  r.faults.off("silent")
  reads = 0
  while not r.bus.sync_read(IDS, STATE)[20].ok:
    reads += 1
    assert reads < 16
  assert ok(r.bus.sync_read(IDS, STATE)) == IDS


def test_two_silent_servos_leave_the_others(r):
  r.faults.on("silent", [12, 30])
  answers = r.bus.bulk_read(dict.fromkeys(IDS, STATE))
  assert ok(answers) == [id for id in IDS if id not in (12, 30)]


def test_all_silent_ends_in_time(r):
  r.faults.on("silent")
  start = time.monotonic()
  answers = r.bus.sync_read(IDS, STATE, seconds=0.15)
  assert time.monotonic() - start < 2.0
  assert {a.failure for a in answers.values()} == {"silent", "unasked"}
  for id in IDS:
    r.bus.health[id].silent = 7
  r.faults.off()
  assert ok(r.bus.sync_read(IDS, STATE)) == IDS  # a bus that is back is used at once


def test_alert_is_kept_and_data_is_valid(r):
  r.faults.on("over_temperature", [31])
  wait_for(lambda: r.bus.sync_read(IDS, STATE)[31].alert)
  answer = r.bus.read(31, item("hardware_error_status"))
  assert answer.ok and answer.value(item("hardware_error_status")) == registers.OVERHEATING
  assert r.bus.health[31].alert and not r.bus.health[30].alert
  assert r.bus.sync_read(IDS, STATE, fast=True)[31].alert


def test_status_level_below_two_makes_writes_silent(r):
  r.bus.write(10, item("status_return_level"), 1)
  assert r.bus.write(10, item("led"), 1).failure == "silent"
  assert r.bus.read(10, item("led")).data == b"\1"


def test_required_servos_are_identified_or_named(r):
  assert require(r.bus, IDS)[10] == Identity(1030, 45)
  with pytest.raises(BusError, match=r"Servos 13, 33 are missing .* 10 answer"):
    require(r.bus, [10, 13, 33])


def test_wrong_baud_rate_is_suspected_and_found():
  with rig(servos=[Servo(1, 57_600)], patience=0.02) as r:
    with pytest.raises(BusError, match=r"No servo answers .* at 1000000 .*rate right"):
      require(r.bus, [1])
    r.port.close()
    assert scan(r.line.path, [1], [9_600, 57_600]) == {57_600: [1]}


def test_unplugged_port_is_an_error(r):
  r.faults.on("unplugged")
  with pytest.raises(PortError, match=r"has gone .* was it unplugged"):
    for _ in range(100):
      r.bus.sync_read(IDS, STATE)
  with pytest.raises(PortError):
    r.bus.ping(10)


def test_patience_must_be_positive(r):
  with pytest.raises(ArgumentError, match="patience"):
    Bus(r.port, 0.0)
  assert PATIENCE > 0
