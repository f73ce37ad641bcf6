"""The emulated servo's answers, byte by byte, and its rules, without wire and clock."""

import pytest

from hardware.buses.dynamixel import frames, registers
from hardware.emulators.dynamixel.servo import Servo
from mbrl_jax.ops.validate import ArgumentError

OK = frames.status(1)


def write(servo, name, value, instruction=frames.WRITE):
  item = registers.item(name)
  params = frames.write_params(item.address, item.encode(value))
  return servo.answer(frames.Packet(1, instruction, params))


def read(servo, address, length):
  return servo.answer(frames.Packet(1, frames.READ, frames.read_params(address, length)))


def refused(code, alert=0):
  return frames.status(1, code | alert)


def pass_time(servo, seconds, position=None, velocity=0.0, torque=0.0):
  body = servo.body
  position = body.position if position is None else position
  body.advance(body.now + seconds, position, velocity, torque)


def test_ping_answers_as_in_the_manual():
  answer = Servo(firmware=38).answer(frames.Packet(1, frames.PING))
  assert answer == bytes.fromhex("FFFFFD00 01 0700 55 00 0604 26 655D")


def test_read_and_write_answer_as_in_the_manual():
  servo = Servo()
  pass_time(servo, 0.0, position=166 * registers.RAD)
  assert read(servo, 132, 4) == bytes.fromhex("FFFFFD00 01 0800 55 00 A6000000 8CC0")
  assert write(servo, "goal_position", 512) == bytes.fromhex("FFFFFD00 01 0400 55 00 A10C")
  assert servo.table["goal_position"] == 512


def test_eeprom_is_locked_while_torque_is_on():
  servo = Servo()
  assert write(servo, "operating_mode", 5) == OK
  assert write(servo, "torque_enable", 1) == OK
  assert write(servo, "operating_mode", 3) == refused(frames.ACCESS)
  assert write(servo, "goal_position", 2000) == OK
  assert write(servo, "torque_enable", 0) == OK
  assert write(servo, "operating_mode", 3) == OK


@pytest.mark.parametrize(
  ("name", "value", "code"),
  [
    ("present_position", 1, frames.ACCESS),
    ("id", 253, frames.DATA_RANGE),
    ("operating_mode", 2, frames.DATA_RANGE),
    ("goal_position", 4096, frames.DATA_LIMIT),
    ("goal_position", -1, frames.DATA_LIMIT),
    ("goal_current", 1194, frames.DATA_RANGE),
    ("goal_velocity", 331, frames.DATA_LIMIT),
    ("bus_watchdog", -1, frames.DATA_RANGE),
    ("indirect_address_1", 63, frames.DATA_RANGE),
  ],
)
def test_bad_values_are_refused(name, value, code):
  servo = Servo()
  before = servo.table[name]
  assert write(servo, name, value) == refused(code) and servo.table[name] == before


def test_limits_are_those_of_the_registers():
  servo = Servo(settings={"max_position_limit": 3000, "current_limit": 100})
  assert write(servo, "goal_position", 3001) == refused(frames.DATA_LIMIT)
  assert write(servo, "goal_current", -101) == refused(frames.DATA_LIMIT)
  write(servo, "operating_mode", registers.EXTENDED_POSITION)
  assert write(servo, "goal_position", -9000) == OK


def test_writes_of_several_items_are_all_or_none():
  servo = Servo()
  both = frames.write_params(112, (50).to_bytes(4, "little") + (100).to_bytes(4, "little"))
  assert servo.answer(frames.Packet(1, frames.WRITE, both)) == OK
  assert (servo.table["profile_velocity"], servo.table["goal_position"]) == (50, 100)
  bad = frames.write_params(112, (60).to_bytes(4, "little") + (5000).to_bytes(4, "little"))
  assert servo.answer(frames.Packet(1, frames.WRITE, bad)) == refused(frames.DATA_LIMIT)
  assert servo.table["profile_velocity"] == 50


@pytest.mark.parametrize(
  ("params", "code"),
  [
    (frames.write_params(116, b"\0\0"), frames.DATA_LENGTH),
    (frames.write_params(117, b"\0\0\0"), frames.DATA_LENGTH),
    (frames.write_params(116, b""), frames.DATA_LENGTH),
    (frames.write_params(150, b"\0"), frames.ACCESS),
    (frames.write_params(660, b"\0\0\0"), frames.ACCESS),
  ],
)
def test_writes_of_parts_and_gaps_are_refused(params, code):
  assert Servo().answer(frames.Packet(1, frames.WRITE, params)) == refused(code)


def test_reads_beyond_the_table_and_unknown_instructions_are_refused():
  servo = Servo()
  assert read(servo, 660, 3) == refused(frames.ACCESS)
  assert read(servo, 10, 0) == refused(frames.DATA_LENGTH)
  assert servo.answer(frames.Packet(1, 0x77)) == refused(frames.INSTRUCTION)
  assert len(read(servo, 0, 147)) == 11 + 147


def test_status_return_level_decides_who_answers():
  servo = Servo()
  write(servo, "status_return_level", 1)
  assert write(servo, "led", 1) is None and servo.table["led"] == 1
  assert read(servo, 65, 1) == frames.status(1, 0, b"\1")
  write(servo, "status_return_level", 0)
  assert read(servo, 65, 1) is None
  assert servo.answer(frames.Packet(1, frames.PING)) is not None


def test_broadcast_write_is_carried_out_silently():
  servo = Servo()
  packet = frames.Packet(frames.BROADCAST, frames.WRITE, frames.write_params(65, b"\1"))
  assert servo.answer(packet) is None and servo.table["led"] == 1


def test_registered_write_waits_for_the_action():
  servo = Servo()
  assert write(servo, "goal_position", 7, frames.REG_WRITE) == OK
  assert servo.table["registered_instruction"] == 1 and servo.table["goal_position"] != 7
  servo.answer(frames.Packet(frames.BROADCAST, frames.ACTION))
  assert servo.table["registered_instruction"] == 0 and servo.table["goal_position"] == 7


def test_indirect_data_lies_elsewhere():
  servo = Servo()
  for i, address in enumerate((65, 116, 117, 118, 119), 1):
    assert write(servo, f"indirect_address_{i}", address) == OK
  packet = frames.write_params(224, b"\1" + (300).to_bytes(4, "little"))
  assert servo.answer(frames.Packet(1, frames.WRITE, packet)) == OK
  assert (servo.table["led"], servo.table["goal_position"]) == (1, 300)
  assert read(servo, 224, 5) == frames.status(1, 0, b"\1\x2c\1\0\0")
  half = frames.write_params(225, b"\0\0")
  assert servo.answer(frames.Packet(1, frames.WRITE, half)) == refused(frames.DATA_LENGTH)
  assert read(servo, 634, 2) == frames.status(1, 0, b"\0\0")


def test_reboot_resets_ram_and_is_deaf_for_a_while():
  servo = Servo(boot_seconds=0.3)
  write(servo, "operating_mode", 5)
  write(servo, "torque_enable", 1)
  write(servo, "position_p_gain", 50)
  assert servo.answer(frames.Packet(1, frames.REBOOT)) == OK
  assert servo.table["torque_enable"] == 0 and servo.table["position_p_gain"] == 800
  assert servo.table["operating_mode"] == 5 and not servo.awake
  pass_time(servo, 0.31)
  assert servo.awake


def test_bus_watchdog_as_in_the_manual():
  """The example of the manual, step by step (e-Manual, Bus Watchdog)."""
  servo = Servo()
  write(servo, "operating_mode", registers.VELOCITY)
  write(servo, "torque_enable", 1)
  write(servo, "goal_velocity", 50)
  write(servo, "profile_acceleration", 9)
  assert write(servo, "bus_watchdog", 100) == OK
  pass_time(servo, 1.99)
  servo.body.heard()
  pass_time(servo, 1.99)
  assert servo.table["bus_watchdog"] == 100
  pass_time(servo, 0.02)
  assert servo.table["bus_watchdog"] == -1
  assert servo.table["profile_acceleration"] == 0 and servo.body.drive.goal_velocity == 0
  for name in ("goal_pwm", "goal_current", "goal_velocity", "goal_position"):
    assert write(servo, name, 20) == refused(frames.DATA_RANGE)
  assert write(servo, "bus_watchdog", 5) == refused(frames.DATA_RANGE)
  assert write(servo, "bus_watchdog", 0) == OK
  assert write(servo, "goal_velocity", 150) == OK
  pass_time(servo, 0.1)
  assert servo.body.drive.goal_velocity == pytest.approx(150 * registers.RAD_PER_S)


def test_bus_watchdog_needs_torque():
  servo = Servo()
  write(servo, "bus_watchdog", 1)
  pass_time(servo, 5)
  assert servo.table["bus_watchdog"] == 1
  write(servo, "torque_enable", 1)
  pass_time(servo, 0.01)
  assert servo.table["bus_watchdog"] == 1


def test_overheating_shuts_down_until_a_reboot():
  servo = Servo(boot_seconds=0.0)
  write(servo, "torque_enable", 1)
  servo.body.temperature = 81
  pass_time(servo, 0.01)
  assert servo.table["torque_enable"] == 0
  assert read(servo, 70, 1) == frames.status(1, frames.ALERT, bytes((registers.OVERHEATING,)))
  servo.body.temperature = 30
  pass_time(servo, 0.01)
  assert write(servo, "torque_enable", 1) == refused(frames.RESULT, frames.ALERT)
  assert write(servo, "led", 1) == frames.status(1, frames.ALERT)
  servo.answer(frames.Packet(1, frames.REBOOT))
  assert write(servo, "torque_enable", 1) == OK


def test_low_voltage_alerts_but_does_not_shut_down_by_default():
  servo = Servo()
  write(servo, "torque_enable", 1)
  servo.body.voltage = 9.4
  pass_time(servo, 0.01)
  assert servo.alert and servo.table["torque_enable"] == 1
  assert servo.table["hardware_error_status"] == registers.VOLTAGE_ERROR


def test_tick_counts_milliseconds_and_wraps():
  servo = Servo()
  pass_time(servo, 1.5)
  assert read(servo, 120, 2) == frames.status(1, 0, (1500).to_bytes(2, "little"))
  pass_time(servo, 32.0)
  assert read(servo, 120, 2) == frames.status(1, 0, (33500 - 32768).to_bytes(2, "little"))


def test_clear_reduces_turns_and_reboot_forgets_them():
  servo = Servo()
  pass_time(servo, 0.1, position=(2 * 4096 + 5) * registers.RAD)
  assert servo.body.ticks == 2 * 4096 + 5
  assert servo.answer(frames.Packet(1, frames.CLEAR, frames.MULTI_TURN)) == OK
  assert servo.body.ticks == 5 == servo.table["goal_position"]
  assert servo.answer(frames.Packet(1, frames.CLEAR, b"\1")) == refused(frames.DATA_RANGE)
  pass_time(servo, 0.1, position=(-4096 + 7) * registers.RAD)
  servo.reboot()
  assert servo.body.ticks == 7


def test_factory_reset_keeps_what_it_is_told_to():
  servo = Servo(9, settings={"return_delay_time": 3})
  servo.answer(frames.Packet(9, frames.FACTORY_RESET, b"\2"))
  assert servo.id == 9 and servo.baud == 1_000_000 and servo.table["return_delay_time"] == 250
  servo.answer(frames.Packet(9, frames.FACTORY_RESET, b"\xff"))
  assert servo.id == 1 and servo.baud == 57_600


def test_changed_id_is_acknowledged_by_the_old_one():
  servo = Servo(1)
  assert write(servo, "id", 5) == OK and servo.id == 5


def test_bad_arguments_are_refused():
  with pytest.raises(ArgumentError, match="id=253"):
    Servo(253)
  with pytest.raises(ArgumentError, match="baud=300"):
    Servo(1, 300)
  with pytest.raises(ArgumentError, match=r"settings\.goal_position=3 is lost without power"):
    Servo(settings={"goal_position": 3})
