"""One emulated X-series servo: takes packets, gives the bytes of its answer.

Behaviour follows the e-Manual (XM430-W210 and Protocol 2.0). Where it is silent, this servo is
assumed to:

* ignore instructions with a wrong CRC instead of answering error 3;
* answer error 1 to torque on during a shutdown, and error 7 to reads beyond the table;
* keep ``goal_position`` at torque on, so that a host that does not set it first sees a jump;
* hold its position, stop turning, or exert no torque, when the bus watchdog triggers;
* be deaf for ``boot_seconds`` after a reboot.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from hardware.buses.dynamixel import frames
from hardware.buses.dynamixel.frames import Packet
from hardware.buses.dynamixel.registers import BAUD_RATES, ITEMS, RAD_PER_S, item
from hardware.emulators.dynamixel.body import Body
from hardware.emulators.dynamixel.table import ControlTable, Refusal, Write
from mbrl_jax.ops.validate import ArgumentError, between, choice

FACTORY = {0xFF: (), 0x01: ("id",), 0x02: ("id", "baud_rate")}
"""What each kind of factory reset keeps."""
EEPROM = [i.name for i in ITEMS.values() if i.eeprom and not i.read_only]


class Servo:
  """A servo without a wire; time is passed to its body, so that tests decide it.

  Attributes:
    table: its memory.
    body: its sensors and motor.
  """

  def __init__(
    self,
    id: int = 1,
    baud: int = 1_000_000,
    *,
    model: int = 1030,
    firmware: int = 45,
    boot_seconds: float = 0.2,
    settings: Mapping[str, int] | None = None,
  ):
    """Makes a servo whose power has just come on.

    Args:
      id: 0 to 252.
      baud: bits per second, one of ``BAUD_RATES``.
      model: model number.
      firmware: version.
      boot_seconds: for which it is deaf after a reboot.
      settings: other values of EEPROM items, by name; the return delay is 0 unless given.

    Raises:
      ArgumentError: one of them is impossible.
    """
    between(0, frames.LAST_ID, id=id)
    codes = {rate: code for code, rate in BAUD_RATES.items()}
    self.table, self._boot_seconds = ControlTable(), boot_seconds
    own = {"id": id, "baud_rate": codes[choice("baud", baud, codes)], "return_delay_time": 0}
    fixed = {"model_number": model, "firmware_version": firmware}
    for name, value in {**own, **fixed, **(settings or {})}.items():
      if not item(name).eeprom:
        raise ArgumentError(f"settings.{name}", value, "is lost without power: write it later.")
      self.table.set(name, value)
    self.body = Body(self.table)
    self._deaf_until = 0.0
    self._registered: list[Write] = []

  @property
  def id(self) -> int:
    """Its ID, which a host can change."""
    return self.table["id"]

  @property
  def baud(self) -> int:
    """Bits per second."""
    return BAUD_RATES[self.table["baud_rate"]]

  @property
  def return_delay(self) -> float:
    """Seconds between instruction and answer."""
    return self.table["return_delay_time"] * 2e-6

  @property
  def awake(self) -> bool:
    """Reports whether it has started."""
    return self.body.now >= self._deaf_until

  @property
  def alert(self) -> int:
    """The bit of the error byte that reports a hardware error."""
    return frames.ALERT if self.table["hardware_error_status"] else 0

  @property
  def answers_reads(self) -> bool:
    """Reports whether ``status_return_level`` lets it answer reads."""
    return self.table["status_return_level"] >= 1

  def answer(self, packet: Packet) -> bytes | None:
    """Carries out an instruction; returns the answer's bytes, None without answer.

    Args:
      packet: to this servo or to all. Of group reads see ``read``, of group writes ``write``.
    """
    id, alert, level = self.id, self.alert, self.table["status_return_level"]
    error, data = 0, b""
    try:
      data = self._execute(packet)
    except Refusal as refusal:
      error = refusal.code
    needed = {frames.PING: 0, frames.READ: 1}.get(packet.instruction, 2)
    quiet = packet.id == frames.BROADCAST and packet.instruction != frames.PING
    return None if quiet or level < needed else frames.status(id, error | alert, data)

  def read(self, address: int, length: int) -> tuple[int, bytes]:
    """Returns error byte and data of a read."""
    self.body.measure()
    try:
      return self.alert, self.table.read(address, length)
    except Refusal as refusal:
      return self.alert | refusal.code, b""

  def write(self, address: int, data: bytes) -> None:
    """Writes as part of a group, which nobody acknowledges."""
    self.answer(Packet(frames.BROADCAST, frames.WRITE, frames.write_params(address, data)))

  def reboot(self) -> None:
    """Restarts: RAM as after power-on, hardware errors cleared, deaf for a while."""
    self._deaf_until = self.body.now + self._boot_seconds
    self._registered = []
    self.body.power_on()

  def _execute(self, packet: Packet) -> bytes:
    """Returns the data of the answer."""
    params, table = packet.params, self.table
    if packet.instruction == frames.PING:
      return struct.pack("<HB", table["model_number"], table["firmware_version"])
    if packet.instruction == frames.READ:
      if len(params) != 4:
        raise Refusal(frames.DATA_LENGTH)
      self.body.measure()
      return table.read(*struct.unpack("<HH", params))
    if packet.instruction in (frames.WRITE, frames.REG_WRITE):
      self._write(params, later=packet.instruction == frames.REG_WRITE)
    elif packet.instruction == frames.ACTION:
      self._store(self._registered)
      self._registered = []
      table.set("registered_instruction", 0)
    elif packet.instruction == frames.REBOOT:
      self.reboot()
    elif packet.instruction == frames.CLEAR:
      self._clear(params)
    elif packet.instruction == frames.FACTORY_RESET:
      self._factory_reset(params)
    else:
      raise Refusal(frames.INSTRUCTION)
    return b""

  def _write(self, params: bytes, later: bool) -> None:
    if len(params) < 3:
      raise Refusal(frames.DATA_LENGTH)
    writes = self.table.check(int.from_bytes(params[:2], "little"), params[2:])
    shutdown = self.table["hardware_error_status"] & self.table["shutdown"]
    if shutdown and any(w.item.name == "torque_enable" and w.value for w in writes):
      raise Refusal(frames.RESULT)
    if later:
      self._registered = writes
      self.table.set("registered_instruction", 1)
    else:
      self._store(writes)

  def _store(self, writes: list[Write]) -> None:
    for write in writes:
      name, value = write.item.name, write.value
      changed = value != self.table[name]
      self.table.set(name, value)
      if name == "torque_enable" and value and changed:
        self.body.torque_on()
      elif name == "operating_mode" and changed:
        self.body.reset_goals()
      elif name == "bus_watchdog":
        self.body.heard()

  def _clear(self, params: bytes) -> None:
    if params != frames.MULTI_TURN:
      raise Refusal(frames.DATA_RANGE)
    if self.table["torque_enable"] and abs(self.body.velocity) > RAD_PER_S:
      raise Refusal(frames.RESULT)  # only at rest
    self.body.one_turn()

  def _factory_reset(self, params: bytes) -> None:
    if len(params) != 1 or params[0] not in FACTORY:
      raise Refusal(frames.DATA_RANGE)
    self.table.reset([name for name in EEPROM if name not in FACTORY[params[0]]])
    self.reboot()
