import math
import random

import pytest
from moteus_cases import moteus_package

from hardware.buses.moteus import commands
from hardware.buses.moteus.commands import PositionCommand, position_frame
from hardware.buses.moteus.frames import Frame, FrameError, Kind, parse
from hardware.buses.moteus.registers import Register, Resolution
from mbrl_jax.ops.validate import ArgumentError

FIELDS = {  # our names, theirs
  "position": "position",
  "velocity": "velocity",
  "torque": "feedforward_torque",
  "kp_scale": "kp_scale",
  "kd_scale": "kd_scale",
  "maximum_torque": "maximum_torque",
  "stop_position": "stop_position",
  "timeout": "watchdog_timeout",
  "velocity_limit": "velocity_limit",
  "acceleration_limit": "accel_limit",
}
REQUIRED = ("maximum_torque", "timeout", "position")


def written(frame):
  return {part.register for part in parse(frame.data) if part.kind is Kind.WRITE}


@pytest.mark.parametrize("resolution", Resolution)
def test_position_frames_are_those_of_moteus_own_client(resolution):
  moteus = moteus_package()
  types = moteus.PositionResolution()
  for name in FIELDS.values():
    setattr(types, name, int(resolution))
  client = moteus.Controller(id=5, position_resolution=types)
  chosen = dict.fromkeys(commands._COMMAND_REGISTERS.values(), resolution)
  draw = random.Random(int(resolution))
  for _ in range(100):
    names = [n for n in FIELDS if n in REQUIRED or draw.random() < 0.5]
    values = {name: draw.uniform(0.02, 0.99) for name in names}
    if draw.random() < 0.3:
      values["position"] = math.nan
    query = draw.random() < 0.5
    ours = position_frame(
      5, PositionCommand(**values), commands.STATE if query else None, chosen
    )
    theirs = client.make_position(query=query, **{FIELDS[n]: v for n, v in values.items()})
    assert ours.data == theirs.data
    assert ours.arbitration_id == (0x8005 if query else 5)


def test_queries_and_stops_are_those_of_moteus_own_client():
  moteus = moteus_package()
  client = moteus.Controller(id=7)
  assert commands.query_frame(7).data == client.make_query().data
  assert commands.stop_frame(7).data == client.make_stop().data == bytes.fromhex("010000")
  assert commands.stop_frame(7, commands.STATE).data == client.make_stop(query=True).data
  assert (
    commands.set_output_frame(7, 0.25).data == client.make_set_output_exact(position=0.25).data
  )


@pytest.mark.parametrize("timeout", [math.nan, math.inf, 0.0, -0.1, 1.5])
def test_the_watchdog_cannot_be_switched_off(timeout):
  with pytest.raises(ArgumentError, match=r"timeout=.* must lie above 0 and be at most 1"):
    PositionCommand(0.4, timeout)


def test_a_timeout_that_would_become_the_default_is_refused():
  types = {Register.COMMAND_TIMEOUT: Resolution.INT8}
  with pytest.raises(ArgumentError, match=r"timeout=0.005 must be at least 0.01 as INT8"):
    position_frame(1, PositionCommand(0.4, 0.005), resolutions=types)


def test_maximum_torque_position_and_timeout_are_always_transmitted():
  always = {Register.COMMAND_MAXIMUM_TORQUE, Register.COMMAND_TIMEOUT}
  always |= {Register.COMMAND_POSITION, Register.MODE}
  assert written(position_frame(1, PositionCommand(0.4, 0.1))) == always
  assert written(position_frame(1, commands.torque_command(0.1, 0.4, 0.1))) > always


def test_torque_control_has_no_gains():
  command = commands.torque_command(0.1, 0.4, 0.1)
  assert (command.kp_scale, command.kd_scale, command.torque) == (0, 0, 0.1)
  assert math.isnan(command.position)


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("maximum_torque", math.nan),
    ("maximum_torque", -1.0),
    ("torque", math.nan),
    ("velocity", math.inf),
    ("kp_scale", math.nan),
    ("kd_scale", -0.5),
    ("position", math.inf),
    ("stop_position", -math.inf),
  ],
)
def test_values_that_are_no_command_are_refused(name, value):
  with pytest.raises(ArgumentError, match=f"^{name}="):
    PositionCommand(**{"maximum_torque": 0.4, "timeout": 0.1, name: value})


def test_a_value_that_its_number_type_cannot_hold_is_refused():
  types = {Register.COMMAND_POSITION: Resolution.INT16}
  command = PositionCommand(0.4, 0.1, position=3.5)
  with pytest.raises(ArgumentError, match=r"position=3.5 must lie between -3.2767 and 3.2767"):
    position_frame(1, command, resolutions=types)
  assert position_frame(1, command)


def test_a_query_whose_reply_fits_in_no_frame_is_refused():
  query = dict.fromkeys(range(16), Resolution.FLOAT)
  with pytest.raises(ArgumentError, match="a reply holds 64"):
    commands.query_frame(1, query)


def test_a_command_that_fits_in_no_frame_is_refused():
  full = PositionCommand(0.4, 0.1, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
  query = {2 * i: Resolution.INT8 for i in range(16)}
  with pytest.raises(ArgumentError, match="more than 64 bytes"):
    position_frame(1, full, query)


def test_replies():
  reply = commands.decode_reply(Frame(0x100, bytes.fromhex("2404000a005000000170ff230d181400")))
  assert reply.source == 1 and reply.errors == ()
  expected = {0: 10, 1: 0.008, 2: 0.064, 3: -1.44, 13: 12.0, 14: 20.0, 15: 0}
  assert reply.values == pytest.approx(expected)
  reply = commands.decode_reply(Frame(0x100, bytes.fromhex("31d50201" + "300102")))
  assert reply.errors == ((Kind.READ_ERROR, 0x155, 1), (Kind.WRITE_ERROR, 1, 2))
  assert math.isnan(commands.decode_reply(Frame(0x100, bytes.fromhex("25010080"))).values[1])
  with pytest.raises(FrameError):
    commands.decode_reply(Frame(0x100, bytes.fromhex("250100")))


def test_calibration_needs_a_number():
  with pytest.raises(ArgumentError, match="finite number of revolutions"):
    commands.set_output_frame(1, math.nan)
