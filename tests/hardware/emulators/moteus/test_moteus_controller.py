import math
import random

import pytest

from hardware.buses.moteus import commands
from hardware.buses.moteus.commands import STATE, PositionCommand, position_frame
from hardware.buses.moteus.frames import Frame, Kind, make_id, write_registers
from hardware.buses.moteus.registers import Mode, Register, Resolution
from hardware.emulators.moteus.controller import Controller, ControllerConfig
from mbrl_jax.ops.validate import ArgumentError

FLOAT = Resolution.FLOAT
HOLD = PositionCommand(maximum_torque=0.4, timeout=0.1)


def controller(**config):
  return Controller(1, ControllerConfig(**config))


def send(device, command, **options):
  return device.handle(position_frame(1, command, **options))


def write(device, values, reply=True):
  data = write_registers(values, dict.fromkeys(values, FLOAT))
  answer = device.handle(Frame(make_id(0, 1, reply), data))
  return commands.decode_reply(answer) if answer else None


def ask(device, *registers):
  query = dict.fromkeys(registers, FLOAT)
  return commands.decode_reply(device.handle(commands.query_frame(1, query))).values


def test_the_reference_s_request_gets_the_reference_s_reply():
  device = controller()
  send(device, HOLD)
  device.sense(0.008, 0.064)
  device.voltage, device.temperature, device._torque = 12.0, 20.0, -1.44
  request = Frame(0x8001, bytes.fromhex("01000a07206000200150ff140400130d"))
  reply = device.handle(request)
  assert reply == (0x100, bytes.fromhex("2404000a005000000170ff230d181400"))


def test_frames_for_others_and_without_a_request_get_no_reply():
  device = controller()
  assert device.handle(commands.query_frame(2)) is None
  assert device.handle(commands.stop_frame(1)) is None
  assert device.handle(Frame(make_id(0, 127, reply=True), b"\x50")).source == 1


def test_a_reply_shows_the_state_before_the_command():
  device = controller()
  for before in (Mode.STOPPED, Mode.POSITION):
    reply = commands.decode_reply(send(device, HOLD, query=STATE))
    assert reply.values[Register.MODE] == before


def test_the_watchdog_is_latched_until_a_stop():
  device = controller()
  send(device, HOLD)
  device.advance(0.09)
  assert device.mode is Mode.POSITION
  send(device, HOLD)
  device.advance(0.09)
  assert device.mode is Mode.POSITION
  device.handle(commands.query_frame(1))  # a query is no command
  device.advance(0.02)
  assert device.mode is Mode.TIMEOUT
  send(device, HOLD)
  assert device.mode is Mode.TIMEOUT
  device.handle(commands.stop_frame(1))
  assert device.mode is Mode.STOPPED
  send(device, HOLD)
  assert device.mode is Mode.POSITION


def test_a_timed_out_controller_damps():
  device = controller(kd=0.5)
  send(device, commands.torque_command(0.1, 0.4, 0.1))
  device.advance(0.2)
  device.sense(0.0, 0.2)
  assert device.mode is Mode.TIMEOUT and device.torque() == 0.0  # its kd scale was 0
  device.handle(commands.stop_frame(1))
  send(device, HOLD)
  device.advance(0.2)
  assert device.torque() == pytest.approx(-0.1)


@pytest.mark.parametrize(
  ("written", "alive", "dead"), [(0.0, 0.09, 0.11), (0.3, 0.29, 0.31), (math.nan, 1e6, None)]
)
def test_timeouts_default_given_and_none(written, alive, dead):
  device = controller()
  write(device, {Register.MODE: Mode.POSITION, Register.COMMAND_TIMEOUT: written})
  device.advance(alive)
  assert device.mode is Mode.POSITION
  if dead:
    device.advance(dead - alive)
    assert device.mode is Mode.TIMEOUT


def test_what_a_command_leaves_out_is_the_default_and_not_kept():
  device = controller()
  send(device, PositionCommand(0.4, 0.1, position=1.0, torque=0.2, kp_scale=0.5))
  write(device, {Register.MODE: Mode.POSITION})
  assert ask(device, Register.COMMAND_TORQUE, Register.COMMAND_KP_SCALE) == {0x22: 0, 0x23: 1}
  assert ask(device, Register.COMMAND_POSITION) == {0x20: 0}


def test_command_registers_without_a_mode_command_nothing():
  device = controller()
  write(device, {Register.COMMAND_TORQUE: 1.0})
  assert device.mode is Mode.STOPPED and device.torque() == 0.0
  send(device, commands.torque_command(0.1, 0.4, 0.1))
  write(device, {Register.COMMAND_TORQUE: 0.3})
  assert device.torque() == pytest.approx(0.1)


def test_control_law_and_torque_limits():
  device = controller(kp=4.0, kd=0.5, maximum_torque=1.0)
  device.sense(0.1, 0.2)
  command = PositionCommand(
    0.8, 0.1, position=0.2, velocity=0.4, torque=0.05, kp_scale=0.5, kd_scale=0.25
  )
  send(device, command)
  assert device.torque() == pytest.approx(4 * 0.5 * 0.1 + 0.5 * 0.25 * 0.2 + 0.05)
  send(device, commands.torque_command(3.0, 0.8, 0.1))
  assert device.torque() == pytest.approx(0.8) and device.fault == 102
  send(device, commands.torque_command(-3.0, 2.0, 0.1))
  assert device.torque() == pytest.approx(-1.0)  # of the configuration
  send(device, commands.torque_command(0.1, 0.8, 0.1))
  assert device.torque() == pytest.approx(0.1) and device.fault == 0
  assert ask(device, Register.TORQUE)[Register.TORQUE] == pytest.approx(0.1)


def test_other_modes():
  device = controller(kd=0.5, brake=0.2)
  device.sense(0.0, 1.0)
  write(device, {Register.MODE: Mode.ZERO_VELOCITY})
  assert device.torque() == pytest.approx(-0.5)
  write(device, {Register.MODE: Mode.BRAKE})
  assert device.torque() == pytest.approx(-0.2)
  device.advance(10.0)
  assert device.mode is Mode.BRAKE


@pytest.mark.parametrize(
  ("name", "value", "fault"),
  [("voltage", 8.0, 40), ("voltage", 60.0, 34), ("temperature", 80.0, 38)],
)
def test_faults_take_the_torque_off_and_are_latched(name, value, fault):
  device = controller()
  normal = getattr(device, name)
  setattr(device, name, value)
  device.advance(0.01)
  assert device.mode is Mode.STOPPED
  send(device, commands.torque_command(0.1, 0.4, 0.1))
  device.advance(0.01)
  assert device.mode is Mode.FAULT and device.torque() == 0.0
  assert ask(device, Register.FAULT) == {Register.FAULT: fault}
  setattr(device, name, normal)
  send(device, HOLD)
  device.advance(0.01)
  assert (device.mode, device.fault) == (Mode.FAULT, fault)
  device.handle(commands.stop_frame(1))
  assert (device.mode, device.fault) == (Mode.STOPPED, 0)


def test_position_limits():
  device = controller(position_min=-0.5, position_max=0.5)
  device.sense(0.6, 0.0)
  send(device, HOLD)
  assert (device.mode, device.fault) == (Mode.FAULT, 39)
  device.handle(commands.stop_frame(1))
  device.sense(0.4, 0.0)
  send(device, commands.torque_command(0.1, 0.4, 0.1))
  device.sense(0.6, 0.0)
  assert device.torque() == 0.0 and device.fault == 103
  send(device, commands.torque_command(-0.1, 0.4, 0.1))
  assert device.torque() == pytest.approx(-0.1)


def test_registers_that_cannot_be_written_or_read():
  device = controller()
  reply = write(device, {Register.POSITION: 1.0, 0x155: 1.0, Register.MODE: 99})
  kind = Kind.WRITE_ERROR
  assert sorted(reply.errors) == [(kind, 0, 3), (kind, 1, 2), (kind, 0x155, 1)]
  assert device.mode is Mode.STOPPED
  query = {1: FLOAT, 0x155: FLOAT}
  reply = commands.decode_reply(device.handle(commands.query_frame(1, query)))
  assert reply.values == {1: 0.0} and reply.errors == ((Kind.READ_ERROR, 0x155, 1),)


@pytest.mark.parametrize("resolution", Resolution)
def test_state_in_every_resolution(resolution):
  device = controller()
  device.sense(0.52, -0.3)
  query = dict.fromkeys((1, 2, 3, 13, 14, 15, 0), resolution)
  reply = commands.decode_reply(device.handle(commands.query_frame(1, query)))
  assert reply.values[1] == pytest.approx(0.52, abs=0.01)
  assert reply.values[2] == pytest.approx(-0.3, abs=0.1)
  assert reply.values[13] == 24.0 and reply.values[14] == 25.0


def test_calibration():
  device = controller(gear=6.0)
  device.sense(0.3, 0.0)
  device.handle(commands.set_output_frame(1, 0.05))
  assert device.position == pytest.approx(0.05)
  device.sense(0.4, 0.0)
  assert device.position == pytest.approx(0.15)
  write(device, {Register.SET_OUTPUT_NEAREST: 0.0})
  assert device.position == pytest.approx(0.4 - 2 / 6)


def test_malformed_frames_change_nothing():
  device = controller()
  assert device.handle(Frame(0x8001, bytes.fromhex("01000a0e20"))) is None
  assert device.mode is Mode.STOPPED and device.malformed == 1


def test_no_frame_breaks_it():
  device, draw = controller(), random.Random(0)
  golden = position_frame(1, commands.torque_command(0.1, 0.4, 0.1), STATE).data
  for _ in range(5000):
    data = bytearray(golden)
    for _ in range(draw.randint(1, 3)):
      data[draw.randrange(len(data))] = draw.randrange(256)
    device.handle(Frame(0x8001, bytes(data)))
    device.advance(0.001)
    assert abs(device.torque()) <= device.config.maximum_torque
    if device.mode in (Mode.FAULT, Mode.TIMEOUT):
      device.handle(commands.stop_frame(1))


def test_ids():
  with pytest.raises(ArgumentError, match="identifier=0 must lie between 1 and 126"):
    Controller(0)
