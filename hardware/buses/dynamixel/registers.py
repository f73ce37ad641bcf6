"""Control table of the Dynamixel X series (XM430-W210), addressed by name.

Source: ROBOTIS e-Manual, "XM430-W210", Control Table; names are those of the manual in lower
case. Where other models differ is stated in ``MODELS``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from mbrl_jax.ops.validate import ArgumentError, choice

TICKS = 4096
"""Encoder ticks per revolution."""
RAD = 2 * math.pi / TICKS
"""Radians per tick of position."""
RAD_PER_S = 0.229 * 2 * math.pi / 60
"""Radians per second per unit of velocity (0.229 rpm)."""
RAD_PER_S2 = 214.577 * 2 * math.pi / 3600
"""Radians per second squared per unit of profile acceleration (214.577 rev/min^2)."""
AMPERE = 2.69e-3
"""Amperes per unit of current of the XM430."""
PWM = 0.00113
"""Fraction of the supply voltage per unit of PWM."""
VOLT = 0.1
"""Volts per unit of voltage."""

EEPROM_END = 64
"""Addresses below are locked while torque is on."""
TABLE_END = 662
"""First address after the table."""

VOLTAGE_ERROR, OVERHEATING, ENCODER_ERROR, SHOCK, OVERLOAD = 0x01, 0x04, 0x08, 0x10, 0x20
HARDWARE_ERRORS = {
  VOLTAGE_ERROR: "input voltage",
  OVERHEATING: "overheating",
  ENCODER_ERROR: "motor encoder",
  SHOCK: "electrical shock",
  OVERLOAD: "overload",
}
"""Bits of ``hardware_error_status``."""

CURRENT, VELOCITY, POSITION, EXTENDED_POSITION, CURRENT_POSITION, PWM_MODE = 0, 1, 3, 4, 5, 16
"""Values of ``operating_mode``."""

BAUD_RATES = {
  0: 9_600,
  1: 57_600,
  2: 115_200,
  3: 1_000_000,
  4: 2_000_000,
  5: 3_000_000,
  6: 4_000_000,
  7: 4_500_000,
}
"""Bits per second by the value of ``baud_rate``."""


@dataclass(frozen=True, slots=True)
class Span:
  """Consecutive bytes of the table: ``length`` from ``address`` on."""

  address: int
  length: int


@dataclass(frozen=True, slots=True)
class Item:
  """One item of the control table.

  Attributes:
    name: of the manual, such as ``goal_position``.
    address: of the first byte.
    length: bytes, 1, 2 or 4.
    default: value of a new device; None if the device measures it.
    low, high: smallest and largest value that can be written.
    scale: SI units per unit of the register: rad, rad/s, rad/s^2, A, V, s, or a fraction.
    read_only: cannot be written.
    signed: two's complement.
  """

  name: str
  address: int
  length: int
  default: int | None = 0
  low: int = 0
  high: int = 255
  scale: float = 1.0
  read_only: bool = False
  signed: bool = False

  @property
  def eeprom(self) -> bool:
    """Locked while torque is on, kept without power."""
    return self.address < EEPROM_END

  def encode(self, value: int) -> bytes:
    """Returns the bytes of ``value``, little endian.

    Raises:
      ArgumentError: it does not fit into the bytes of the item.
    """
    size = 8 * self.length
    low, high = (-(1 << (size - 1)), (1 << (size - 1)) - 1) if self.signed else (0, 2**size - 1)
    if not low <= value <= high:
      raise ArgumentError(self.name, value, f"must lie between {low} and {high}.")
    return int(value).to_bytes(self.length, "little", signed=self.signed)

  def decode(self, data: bytes) -> int:
    """Returns the value of the item's bytes."""
    return int.from_bytes(data, "little", signed=self.signed)


def _measured(
  name: str, address: int, length: int, scale: float = 1.0, signed: bool = False
) -> Item:
  """Returns an item that only the device writes."""
  return Item(name, address, length, None, scale=scale, read_only=True, signed=signed)


_TURNS = 1_048_575
_GAIN = 16_383
_ITEMS = [
  _measured("model_number", 0, 2),
  _measured("model_information", 2, 4),
  _measured("firmware_version", 6, 1),
  Item("id", 7, 1, 1, high=252),
  Item("baud_rate", 8, 1, 1, high=7),
  Item("return_delay_time", 9, 1, 250, high=254, scale=2e-6),
  Item("drive_mode", 10, 1, 0, high=13),
  Item("operating_mode", 11, 1, POSITION, high=16),
  Item("secondary_id", 12, 1, 255, high=255),
  Item("protocol_type", 13, 1, 2, low=1, high=2),
  Item("homing_offset", 20, 4, low=-1_044_479, high=1_044_479, scale=RAD, signed=True),
  Item("moving_threshold", 24, 4, 10, high=1023, scale=RAD_PER_S),
  Item("temperature_limit", 31, 1, 80, high=100),
  Item("max_voltage_limit", 32, 2, 160, low=95, high=160, scale=VOLT),
  Item("min_voltage_limit", 34, 2, 95, low=95, high=160, scale=VOLT),
  Item("pwm_limit", 36, 2, 885, high=885, scale=PWM),
  Item("current_limit", 38, 2, 1193, high=1193, scale=AMPERE),
  Item("velocity_limit", 44, 4, 330, high=1023, scale=RAD_PER_S),
  Item("max_position_limit", 48, 4, 4095, high=4095, scale=RAD),
  Item("min_position_limit", 52, 4, 0, high=4095, scale=RAD),
  Item("startup_configuration", 60, 1, 0, high=3),
  Item("shutdown", 63, 1, OVERHEATING | SHOCK | OVERLOAD, high=63),
  Item("torque_enable", 64, 1, high=1),
  Item("led", 65, 1, high=1),
  Item("status_return_level", 68, 1, 2, high=2),
  _measured("registered_instruction", 69, 1),
  _measured("hardware_error_status", 70, 1),
  Item("velocity_i_gain", 76, 2, 1920, high=_GAIN),
  Item("velocity_p_gain", 78, 2, 100, high=_GAIN),
  Item("position_d_gain", 80, 2, high=_GAIN),
  Item("position_i_gain", 82, 2, high=_GAIN),
  Item("position_p_gain", 84, 2, 800, high=_GAIN),
  Item("feedforward_2nd_gain", 88, 2, high=_GAIN),
  Item("feedforward_1st_gain", 90, 2, high=_GAIN),
  Item("bus_watchdog", 98, 1, high=127, scale=0.020, signed=True),
  Item("goal_pwm", 100, 2, 885, low=-885, high=885, scale=PWM, signed=True),
  Item("goal_current", 102, 2, 1193, low=-1193, high=1193, scale=AMPERE, signed=True),
  Item("goal_velocity", 104, 4, 0, low=-1023, high=1023, scale=RAD_PER_S, signed=True),
  Item("profile_acceleration", 108, 4, high=32_767, scale=RAD_PER_S2),
  Item("profile_velocity", 112, 4, high=32_767, scale=RAD_PER_S),
  Item("goal_position", 116, 4, None, low=-_TURNS, high=_TURNS, scale=RAD, signed=True),
  _measured("realtime_tick", 120, 2, scale=1e-3),
  _measured("moving", 122, 1),
  _measured("moving_status", 123, 1),
  _measured("present_pwm", 124, 2, scale=PWM, signed=True),
  _measured("present_current", 126, 2, scale=AMPERE, signed=True),
  _measured("present_velocity", 128, 4, scale=RAD_PER_S, signed=True),
  _measured("present_position", 132, 4, scale=RAD, signed=True),
  _measured("velocity_trajectory", 136, 4, scale=RAD_PER_S, signed=True),
  _measured("position_trajectory", 140, 4, scale=RAD, signed=True),
  _measured("present_input_voltage", 144, 2, scale=VOLT),
  _measured("present_temperature", 146, 1),
  _measured("backup_ready", 147, 1),
]


def _indirect() -> Iterable[Item]:
  """Yields the 56 indirect addresses and their data, which lie in two blocks."""
  for first, count, addresses, data in ((1, 28, 168, 224), (29, 28, 578, 634)):
    for i in range(count):
      at, low, high = data + i, EEPROM_END, TABLE_END - 1
      yield Item(f"indirect_address_{first + i}", addresses + 2 * i, 2, at, low=low, high=high)
      yield Item(f"indirect_data_{first + i}", at, 1)


ITEMS = {item.name: item for item in (*_ITEMS, *_indirect())}
"""All items by name."""


@dataclass(frozen=True, slots=True)
class Model:
  """One model of the series.

  Attributes:
    name: of the maker.
    ampere: amperes per unit of current.
    current_limit: largest value of ``current_limit``; None if not recorded here.
  """

  name: str
  ampere: float
  current_limit: int | None = None


MODELS = {1030: Model("XM430-W210", AMPERE, 1193), 1020: Model("XM430-W350", AMPERE, 1193)}
"""By model number. The XH430 counts current in half the unit and is therefore not listed."""


def item(name: str) -> Item:
  """Returns the item called ``name``.

  Raises:
    ArgumentError: there is none; names the nearest.
  """
  return ITEMS[choice("item", name, ITEMS)]


def model(number: int) -> Model:
  """Returns the model with a model number.

  Raises:
    ArgumentError: this table is not known to hold for it; lists those for which it does.
  """
  if number not in MODELS:
    known = ", ".join(f"{n} ({m.name})" for n, m in MODELS.items())
    raise ArgumentError("model_number", number, f"has no control table here. Known: {known}.")
  return MODELS[number]


def span(first: str, last: str) -> Span:
  """Returns the bytes from one item to another, both included, to be read at once."""
  start, end = item(first), item(last)
  length = end.address + end.length - start.address
  if length <= 0:
    raise ArgumentError("last", last, "must not come before {}.", ("first", first))
  return Span(start.address, length)


STATE = span("present_current", "present_position")
"""Current, velocity and position: one block of 10 bytes."""


def state(data: bytes) -> tuple[int, int, int]:
  """Returns current, velocity and position in units of the registers from ``STATE``."""
  return struct.unpack("<hii", data)
