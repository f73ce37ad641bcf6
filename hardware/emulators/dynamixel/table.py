"""The memory of an emulated servo: what can be read and written, and which error refuses it."""

from __future__ import annotations

from dataclasses import dataclass

from hardware.buses.dynamixel import frames
from hardware.buses.dynamixel.registers import (
  CURRENT,
  CURRENT_POSITION,
  EXTENDED_POSITION,
  ITEMS,
  POSITION,
  PWM_MODE,
  TABLE_END,
  VELOCITY,
  Item,
)

MODES = {CURRENT, VELOCITY, POSITION, EXTENDED_POSITION, CURRENT_POSITION, PWM_MODE}
GOALS = {"goal_pwm", "goal_current", "goal_velocity", "goal_position"}
"""Items that a triggered bus watchdog locks."""
LIMITS = {
  "goal_pwm": "pwm_limit",
  "goal_current": "current_limit",
  "goal_velocity": "velocity_limit",
}
"""Items whose absolute value another item limits."""
WATCHDOG_ERROR = -1
"""Value of ``bus_watchdog`` once it has triggered."""

_STARTS = {item.address: item for item in ITEMS.values()}
_BYTES = {a for i in ITEMS.values() for a in range(i.address, i.address + i.length)}
_ADDRESSES = {  # of indirect data: the item that holds where it really lies
  ITEMS[f"indirect_data_{i}"].address: ITEMS[f"indirect_address_{i}"] for i in range(1, 57)
}


class Refusal(Exception):
  """The servo answers with an error.

  Attributes:
    code: of the error byte, such as ``frames.ACCESS``.
  """

  def __init__(self, code: int):
    super().__init__(code)
    self.code = code


@dataclass(frozen=True, slots=True)
class Write:
  """A value for an item, checked."""

  item: Item
  value: int


class ControlTable:
  """Values of all items, EEPROM and RAM."""

  def __init__(self) -> None:
    self._memory = bytearray(TABLE_END)
    for item in ITEMS.values():
      self.set(item.name, item.default or 0)

  def __getitem__(self, name: str) -> int:
    item = ITEMS[name]
    return item.decode(bytes(self._memory[item.address : item.address + item.length]))

  def set(self, name: str, value: int) -> None:
    """Stores a value, also of a read-only item, limited to what its bytes can hold."""
    item = ITEMS[name]
    size = 1 << 8 * item.length
    low, high = (-size // 2, size // 2 - 1) if item.signed else (0, size - 1)
    data = item.encode(min(max(int(value), low), high))
    self._memory[item.address : item.address + item.length] = data

  def reset(self, names: list[str]) -> None:
    """Restores the defaults of items."""
    for name in names:
      self.set(name, ITEMS[name].default or 0)

  def read(self, address: int, length: int) -> bytes:
    """Returns bytes as READ gives them; indirect data is fetched from where it lies.

    Raises:
      Refusal: beyond the table, or nothing asked for.
    """
    if not length:
      raise Refusal(frames.DATA_LENGTH)
    return bytes(self._memory[a] for a in self._places(address, length))

  def check(self, address: int, data: bytes) -> list[Write]:
    """Returns the values that WRITE would store, all or none.

    Raises:
      Refusal: with the code that the servo answers.
    """
    if not data:
      raise Refusal(frames.DATA_LENGTH)
    places = self._places(address, len(data))
    writes, at = [], 0
    while at < len(data):
      item = _STARTS.get(places[at])
      if item is None:
        raise Refusal(frames.DATA_LENGTH if places[at] in _BYTES else frames.ACCESS)
      whole = list(range(item.address, item.address + item.length))
      if places[at : at + item.length] != whole:
        raise Refusal(frames.DATA_LENGTH)
      write = Write(item, item.decode(data[at : at + item.length]))
      self._check_item(write)
      writes.append(write)
      at += item.length
    return writes

  def _places(self, address: int, length: int) -> list[int]:
    """Returns where bytes really lie."""
    if address + length > TABLE_END:
      raise Refusal(frames.ACCESS)
    addresses = range(address, address + length)
    return [self[_ADDRESSES[a].name] if a in _ADDRESSES else a for a in addresses]

  def _check_item(self, write: Write) -> None:
    item, value = write.item, write.value
    if item.read_only or (item.eeprom and self["torque_enable"]):
      raise Refusal(frames.ACCESS)
    if item.name in GOALS and self["bus_watchdog"] == WATCHDOG_ERROR:
      raise Refusal(frames.DATA_RANGE)
    if item.name == "bus_watchdog" and value and self["bus_watchdog"] == WATCHDOG_ERROR:
      raise Refusal(frames.DATA_RANGE)  # only 0 clears it
    if not item.low <= value <= item.high:
      raise Refusal(frames.DATA_RANGE)
    if item.name == "operating_mode" and value not in MODES:
      raise Refusal(frames.DATA_RANGE)
    if item.name in LIMITS and abs(value) > self[LIMITS[item.name]]:
      raise Refusal(frames.DATA_LIMIT)
    if item.name == "goal_position" and self["operating_mode"] == POSITION:
      low, high = self["min_position_limit"], self["max_position_limit"]
      if not low <= value <= high:
        raise Refusal(frames.DATA_LIMIT)
