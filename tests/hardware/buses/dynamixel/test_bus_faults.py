"""Our client while answers are lost, late, damaged, doubled or old."""

import time

import pytest
from dynamixel_rig import IDS, rig, wait_for

from hardware.buses.dynamixel import frames
from hardware.buses.dynamixel.registers import STATE, item

OTHERS = [id for id in IDS if id != 21]


@pytest.fixture
def r():
  with rig() as made:
    yield made


def failures(answers):
  return {id: answer.failure for id, answer in answers.items() if not answer.ok}


def test_lost_answer(r):
  r.faults.on("drop", [21])
  assert failures(r.bus.sync_read(IDS, STATE)) == {21: "silent"}
  assert r.bus.read(21, STATE).failure == "silent"


def test_flipped_bits_cost_one_slot_and_are_never_taken_for_data(r):
  right = r.bus.read(21, STATE).data
  r.faults.on("bit_flip", [21])
  for _ in range(8):
    answers = r.bus.sync_read(IDS, STATE)
    assert failures(answers) == {21: "crc"}
  assert r.bus.read(21, STATE).failure in ("crc", "silent")  # a broken header is noise
  r.faults.off()
  assert r.bus.read(21, STATE).data == right
  assert r.bus.health[21].failures == 9


def test_flipped_bits_in_a_fast_answer(r):
  r.faults.on("bit_flip", [21])
  for _ in range(5):
    answers = r.bus.fast_sync_read(IDS, STATE)
    assert failures(answers) == {21: "crc"}


def test_truncated_fast_answer_keeps_what_came_before(r):
  r.faults.on("truncated", [21])
  for _ in range(5):
    assert [*failures(r.bus.fast_sync_read(IDS, STATE))] == [21]


def test_firmware_without_fast_reads_is_read_in_the_ordinary_way(r, monkeypatch):
  handle = r.network.handle

  def old(packet, baud):
    return [] if packet.instruction == frames.FAST_SYNC_READ else handle(packet, baud)

  monkeypatch.setattr(r.network, "handle", old)
  assert failures(r.bus.fast_sync_read(IDS, STATE)) == {}


def test_truncated_answer_does_not_take_the_next_with_it(r):
  r.faults.on("truncated", [21])
  for _ in range(8):
    answers = r.bus.sync_read(IDS, STATE)
    assert [*failures(answers)] == [21]
  assert r.bus.read(21, STATE).failure in ("crc", "silent")


def test_duplicates_are_dropped(r):
  r.faults.on("duplicate")
  for _ in range(3):
    assert failures(r.bus.sync_read(IDS, STATE)) == {}
    assert r.bus.read(10, item("led")).data == b"\0"
  r.faults.off()
  time.sleep(0.01)
  assert failures(r.bus.sync_read(IDS, STATE)) == {}
  assert r.bus.counts.unexpected + r.bus.counts.stale_bytes > 0


def test_delay_below_patience_is_an_answer_and_above_it_a_silence(r):
  r.faults.on("delay", [21], seconds=0.02)
  assert failures(r.bus.sync_read(IDS, STATE)) == {}
  r.faults.on("delay", [21], seconds=0.3)
  assert r.bus.read(21, STATE).failure == "silent"
  r.faults.off()
  time.sleep(0.4)
  assert r.bus.read(21, item("led")).data == b"\0"
  assert r.bus.counts.stale_bytes == 11 + 10


def test_late_answer_of_another_length_is_not_taken(r):
  r.faults.on("delay", [21], seconds=0.12, times=1)
  assert r.bus.read(21, STATE).failure == "silent"
  time.sleep(0.03)
  wait_for(lambda: r.bus.read(21, item("led")).data == b"\0")


def test_old_answer_cannot_be_told_from_a_new_one(r):
  """Protocol 2.0 has no sequence number: only registers that change betray it."""
  tick = item("realtime_tick")
  first = r.bus.read(21, tick).value(tick)
  r.faults.on("stale", [21], times=1)
  time.sleep(0.02)
  assert r.bus.read(21, tick).value(tick) == first
  assert r.bus.read(21, tick).value(tick) > first


def test_rebooted_servo_comes_back_without_torque(r):
  r.bus.write(21, item("torque_enable"), 1)
  r.faults.on("reboot", [21])
  assert [*failures(r.bus.sync_read(IDS, STATE))] == [21]
  wait_for(lambda: r.bus.ping(21).ok)
  assert r.bus.read(21, item("torque_enable")).data == b"\0"
  assert failures(r.bus.sync_read(IDS, STATE)) == {}


def test_voltage_dip_is_an_alert(r):
  r.faults.on("voltage_dip", [21])
  wait_for(lambda: r.bus.ping(21).alert)
  voltage = item("present_input_voltage")
  assert r.bus.read(21, voltage).value(voltage) == 80
  assert r.bus.health[21].alert


def test_many_faults_at_once_end_in_answers_or_reasons(r):
  for name in ("drop", "bit_flip", "duplicate", "truncated"):
    r.faults.on(name, probability=0.05)
  for i in range(10):
    answers = r.bus.sync_read(IDS, STATE, fast=i % 2 == 1)
    assert all(answer.ok or answer.failure for answer in answers.values())
    right = {answer.data for answer in answers.values() if answer.ok}
    assert right <= {b"\0\0\0\0\0\0\0\x08\0\0"}
