"""Registers of a moteus controller: numbers, units and the resolutions they travel in.

A register travels as a float or as an integer of 8, 16 or 32 bits, of which one count is worth
what the table of mappings says (moteus reference, A.2.a). The least integer stands for NaN.
"""

from __future__ import annotations

import enum
import math
import struct
from typing import NamedTuple


class Resolution(enum.IntEnum):
  """Number types of a register on the wire."""

  INT8 = 0
  INT16 = 1
  INT32 = 2
  FLOAT = 3

  @property
  def size(self) -> int:
    """Bytes of one value."""
    return (1, 2, 4, 4)[self]

  @property
  def limit(self) -> int:
    """Largest integer; its negative is the least one that is a number."""
    return (127, 32767, 2147483647, 0)[self]


class Mode(enum.IntEnum):
  """Values of ``Register.MODE`` (moteus reference, 0x000)."""

  STOPPED = 0
  FAULT = 1
  POSITION = 10
  TIMEOUT = 11
  ZERO_VELOCITY = 12
  STAY_WITHIN = 13
  BRAKE = 15


class Register(enum.IntEnum):
  """Register numbers (moteus reference, A.2.b); positions are of the output shaft."""

  MODE = 0x000
  POSITION = 0x001
  VELOCITY = 0x002
  TORQUE = 0x003
  Q_CURRENT = 0x004
  D_CURRENT = 0x005
  VOLTAGE = 0x00D
  TEMPERATURE = 0x00E
  FAULT = 0x00F
  COMMAND_POSITION = 0x020
  COMMAND_VELOCITY = 0x021
  COMMAND_TORQUE = 0x022
  COMMAND_KP_SCALE = 0x023
  COMMAND_KD_SCALE = 0x024
  COMMAND_MAXIMUM_TORQUE = 0x025
  COMMAND_STOP_POSITION = 0x026
  COMMAND_TIMEOUT = 0x027
  COMMAND_VELOCITY_LIMIT = 0x028
  COMMAND_ACCELERATION_LIMIT = 0x029
  CONTROL_POSITION = 0x038
  CONTROL_VELOCITY = 0x039
  CONTROL_TORQUE = 0x03A
  MODEL_NUMBER = 0x100
  FIRMWARE_VERSION = 0x101
  REGISTER_MAP_VERSION = 0x102
  SET_OUTPUT_NEAREST = 0x130
  SET_OUTPUT_EXACT = 0x131


class Mapping(NamedTuple):
  """What one count of each integer type is worth, in the unit of the quantity."""

  int8: float
  int16: float
  int32: float


POSITION = Mapping(0.01, 0.0001, 0.00001)
"""Revolutions."""
VELOCITY = Mapping(0.1, 0.00025, 0.00001)
"""Revolutions per second."""
ACCELERATION = Mapping(0.05, 0.001, 0.00001)
"""Revolutions per second squared."""
TORQUE = Mapping(0.5, 0.01, 0.001)
"""N m."""
VOLTAGE = Mapping(0.5, 0.1, 0.001)
"""V."""
CURRENT = Mapping(1.0, 0.1, 0.001)
"""A."""
TEMPERATURE = Mapping(1.0, 0.1, 0.001)
"""Degrees Celsius."""
TIME = Mapping(0.01, 0.001, 0.000001)
"""Seconds."""
FRACTION = Mapping(1 / 127, 1 / 32767, 1 / 2147483647)
"""Scales of gains, of which integers reach from -1 to 1."""

MAPPINGS: dict[int, Mapping] = {
  Register.POSITION: POSITION,
  Register.VELOCITY: VELOCITY,
  Register.TORQUE: TORQUE,
  Register.Q_CURRENT: CURRENT,
  Register.D_CURRENT: CURRENT,
  Register.VOLTAGE: VOLTAGE,
  Register.TEMPERATURE: TEMPERATURE,
  Register.COMMAND_POSITION: POSITION,
  Register.COMMAND_VELOCITY: VELOCITY,
  Register.COMMAND_TORQUE: TORQUE,
  Register.COMMAND_KP_SCALE: FRACTION,
  Register.COMMAND_KD_SCALE: FRACTION,
  Register.COMMAND_MAXIMUM_TORQUE: TORQUE,
  Register.COMMAND_STOP_POSITION: POSITION,
  Register.COMMAND_TIMEOUT: TIME,
  Register.COMMAND_VELOCITY_LIMIT: VELOCITY,
  Register.COMMAND_ACCELERATION_LIMIT: ACCELERATION,
  Register.CONTROL_POSITION: POSITION,
  Register.CONTROL_VELOCITY: VELOCITY,
  Register.CONTROL_TORQUE: TORQUE,
  Register.SET_OUTPUT_NEAREST: POSITION,
  Register.SET_OUTPUT_EXACT: POSITION,
}
"""Registers of real numbers; every other register is an integer without a unit."""

FAULTS = {
  0: "no fault",
  32: "calibration fault",
  33: "motor driver fault",
  34: "over voltage",
  35: "encoder fault",
  36: "motor not configured",
  37: "PWM cycle overrun",
  38: "over temperature",
  39: "position outside its limits at start",
  40: "under voltage",
  41: "configuration changed",
  42: "commutation angle invalid",
  43: "position invalid",
  44: "driver could not be enabled",
  45: "stop position is deprecated",
  46: "timing violation",
  47: "back-EMF feedforward without acceleration limit",
  48: "limits invalid",
  96: "limited: velocity",
  97: "limited: power",
  98: "limited: voltage",
  99: "limited: current",
  100: "limited: board temperature",
  101: "limited: motor temperature",
  102: "limited: torque",
  103: "limited: position bounds",
}
"""Names of fault codes; from 96 on they are notices and the controller keeps running.

The reference lists 32 to 39; names of 47, 48 and of the notices are unchecked.
"""

LARGEST_FLOAT = 3.4e38
"""A float of 32 bits holds no more, rounded down."""
_LETTERS = "bhif"
_FORMATS = tuple(struct.Struct(f"<{letter}") for letter in _LETTERS)


def pack_value(register: int, value: float, resolution: Resolution) -> bytes:
  """Returns the bytes of one value as clients and firmware encode it.

  Integers are truncated towards zero and saturate; a value that is not finite becomes the
  least integer, which stands for NaN.

  Args:
    register: its number.
    value: in the register's unit.
    resolution: number type on the wire.
  """
  if resolution is Resolution.FLOAT:
    fits = not math.isfinite(value) or abs(value) <= LARGEST_FLOAT
    return _FORMATS[resolution].pack(value if fits else math.copysign(math.inf, value))
  limit = resolution.limit
  if not math.isfinite(value):
    return _FORMATS[resolution].pack(-limit - 1)
  mapping = MAPPINGS.get(register)
  counts = value / mapping[resolution] if mapping else value
  return _FORMATS[resolution].pack(int(max(-limit, min(limit, counts))))


def unpack_raw(
  data: bytes, offset: int, count: int, resolution: Resolution
) -> tuple[float, ...]:
  """Returns numbers as they travelled: counts, or floats.

  Args:
    data: of a frame, long enough.
    offset: of the first number in it.
    count: of numbers.
    resolution: their type.
  """
  return struct.unpack_from(f"<{count}{_LETTERS[resolution]}", data, offset)


def scale_raw(register: int, raw: float, resolution: Resolution) -> float:
  """Returns a number from the wire in the register's unit.

  Args:
    register: its number; an unknown one, and one without a unit, keeps its counts.
    raw: counts, or a float.
    resolution: number type on the wire.
  """
  mapping = MAPPINGS.get(register)
  if resolution is Resolution.FLOAT or mapping is None:
    return raw
  return math.nan if raw == -resolution.limit - 1 else raw * mapping[resolution]


def largest(register: int, resolution: Resolution) -> float:
  """Returns the largest magnitude that a register can hold in a resolution, in its unit."""
  if resolution is Resolution.FLOAT:
    return LARGEST_FLOAT
  mapping = MAPPINGS.get(register)
  return resolution.limit * (mapping[resolution] if mapping else 1)
