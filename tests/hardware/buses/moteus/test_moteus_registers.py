import math

import pytest

from hardware.buses.moteus import registers
from hardware.buses.moteus.registers import Mode, Register, Resolution, pack_value

INTEGERS = [Resolution.INT8, Resolution.INT16, Resolution.INT32]


def unpacked(register, data, resolution):
  (raw,) = registers.unpack_raw(data, 0, 1, resolution)
  return registers.scale_raw(register, raw, resolution)


@pytest.mark.parametrize("resolution", Resolution)
@pytest.mark.parametrize("register", registers.MAPPINGS)
def test_values_survive_the_wire_within_one_count(register, resolution):
  mapping = registers.MAPPINGS[register]
  count = 1e-7 if resolution is Resolution.FLOAT else mapping[resolution]
  for value in (0.0, 0.31, -0.77, 0.9):
    got = unpacked(register, pack_value(register, value, resolution), resolution)
    assert abs(got - value) <= count and abs(got) <= abs(value) + 1e-6


@pytest.mark.parametrize("resolution", INTEGERS)
def test_integers_saturate_and_their_least_value_is_nan(resolution):
  top = registers.largest(Register.TORQUE, resolution)
  for value, expected in ((1e9, top), (-1e9, -top)):
    data = pack_value(Register.TORQUE, value, resolution)
    assert unpacked(Register.TORQUE, data, resolution) == pytest.approx(expected)
  for value in (math.nan, math.inf, -math.inf):
    data = pack_value(Register.TORQUE, value, resolution)
    assert math.isnan(unpacked(Register.TORQUE, data, resolution))


def test_floats_that_32_bits_cannot_hold_become_infinite():
  data = pack_value(Register.TORQUE, -1e300, Resolution.FLOAT)
  assert unpacked(Register.TORQUE, data, Resolution.FLOAT) == -math.inf


def test_a_register_without_a_unit_has_no_nan():
  data = pack_value(Register.FIRMWARE_VERSION, -(2**31), Resolution.INT32)
  assert unpacked(Register.FIRMWARE_VERSION, data, Resolution.INT32) != -math.inf


def test_numbers_and_units_are_those_of_moteus_own_client():
  protocol = pytest.importorskip("moteus.protocol")
  names = {"COMMAND_TORQUE": "COMMAND_FEEDFORWARD_TORQUE"}
  names["COMMAND_MAXIMUM_TORQUE"] = "COMMAND_POSITION_MAX_TORQUE"
  names["COMMAND_ACCELERATION_LIMIT"] = "COMMAND_ACCEL_LIMIT"
  for register in Register:
    theirs = protocol.Register[names.get(register.name, register.name)]
    assert theirs == register
    if register in (Register.SET_OUTPUT_NEAREST, Register.SET_OUTPUT_EXACT):
      continue  # which their reader does not scale
    for resolution in INTEGERS:
      expected = protocol.scale_register(theirs, int(resolution), 100)
      assert registers.scale_raw(register, 100, resolution) == pytest.approx(expected)
  for mode in Mode:
    assert protocol.Mode[mode.name] == mode


def test_every_code_from_32_to_48_has_a_name():
  assert all(code in registers.FAULTS for code in range(32, 49))
