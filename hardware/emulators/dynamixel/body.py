"""What a servo is apart from the wire: memory, sensors, motion, watchdog and shutdown."""

from __future__ import annotations

from hardware.buses.dynamixel.registers import (
  AMPERE,
  CURRENT,
  ITEMS,
  OVERHEATING,
  PWM_MODE,
  RAD,
  RAD_PER_S,
  TICKS,
  VOLT,
  VOLTAGE_ERROR,
)
from hardware.emulators.dynamixel.motion import EMF, FULL_PWM, STALL, TORQUE_CONSTANT, Motion
from hardware.emulators.dynamixel.physics import Drive
from hardware.emulators.dynamixel.table import WATCHDOG_ERROR, ControlTable

RAM = [i.name for i in ITEMS.values() if not i.eeprom and not i.name.startswith("model")]
WATCHDOG_UNIT = 0.020
"""Seconds per unit of ``bus_watchdog``."""
NOMINAL_VOLTAGE = 12.0
ROOM_TEMPERATURE = 30
TICK_WRAP = 32_768


class Body:
  """Keeps the registers and the motor of one servo consistent as time passes.

  Attributes:
    table: its memory.
    motion: its set point.
    temperature: degrees Celsius.
    voltage: of the supply, V.
    now: time of the last ``advance``, s.
    position, velocity, torque: of the output shaft at that time, rad, rad/s, N m.
  """

  def __init__(self, table: ControlTable):
    self.table, self.motion = table, Motion(table)
    self.temperature, self.voltage = ROOM_TEMPERATURE, NOMINAL_VOLTAGE
    self.now = 0.0
    self.position, self.velocity, self.torque = TICKS / 2 * RAD, 0.0, 0.0
    self._started = self._heard = 0.0
    self._turns = 0
    self.power_on()

  @property
  def drive(self) -> Drive:
    """What it makes its motor do."""
    return self.motion.drive(self.voltage / NOMINAL_VOLTAGE)

  @property
  def ticks(self) -> int:
    """The present position in units of the register."""
    return round(self.position / RAD) + self._offset()

  def power_on(self) -> None:
    """Sets RAM as after power-on."""
    self.table.reset(RAM)
    self._started = self._heard = self.now
    self._turns = 0
    self._turns = -((self.ticks - self.table["homing_offset"]) // TICKS)  # one turn is known
    self.reset_goals()
    self.hold()

  def hold(self) -> None:
    """Makes the present position the goal and the start of the trajectory."""
    self.motion.offset = self._offset()
    self.table.set("goal_position", self.ticks)
    self.motion.hold(self.position)

  def reset_goals(self) -> None:
    """A change of mode resets profile and goals (e-Manual, Operating Mode)."""
    self.table.reset(["profile_acceleration", "profile_velocity", "goal_velocity"])
    self.table.set("goal_pwm", self.table["pwm_limit"])
    self.table.set("goal_current", self.table["current_limit"])

  def torque_on(self) -> None:
    """Starts trajectory and watchdog; the goal stays as it is."""
    self.motion.hold(self.position)
    self.heard()

  def one_turn(self) -> None:
    """Reduces the present position to one turn."""
    self._turns -= self.ticks // TICKS
    self.hold()

  def heard(self) -> None:
    """Notes an instruction on the bus, for which the bus watchdog waits."""
    self._heard = self.now

  def advance(self, now: float, position: float, velocity: float, torque: float) -> None:
    """Lets time pass.

    Args:
      now: seconds.
      position: of the output shaft, rad.
      velocity: rad/s.
      torque: of the motor, N m.
    """
    seconds, self.now = max(now - self.now, 0.0), max(now, self.now)
    self.position, self.velocity, self.torque = position, velocity, torque
    self.motion.offset = self._offset()
    self._check_watchdog()
    self._check_hardware()
    if self.table["torque_enable"]:
      self.motion.advance(seconds)

  def measure(self) -> None:
    """Writes what the sensors show into the registers."""
    table, velocity = self.table, round(self.velocity / RAD_PER_S)
    table.set("realtime_tick", int((self.now - self._started) * 1000) % TICK_WRAP)
    table.set("moving", abs(velocity) > table["moving_threshold"])
    table.set("present_pwm", round((self.torque + EMF * self.velocity) / STALL * FULL_PWM))
    table.set("present_current", round(self.torque / TORQUE_CONSTANT / AMPERE))
    table.set("present_velocity", velocity)
    table.set("present_position", self.ticks)
    table.set("velocity_trajectory", round(self.motion.velocity / RAD_PER_S))
    trajectory = round(self.motion.position / RAD) + self.motion.offset
    table.set("position_trajectory", trajectory)
    table.set("moving_status", abs(self.ticks - table["goal_position"]) < 10)
    table.set("present_input_voltage", round(self.voltage / VOLT))
    table.set("present_temperature", self.temperature)

  def _offset(self) -> int:
    return self._turns * TICKS + self.table["homing_offset"]

  def _check_watchdog(self) -> None:
    """Stops the motor if no instruction has come for too long (e-Manual, Bus Watchdog)."""
    limit = self.table["bus_watchdog"]
    late = self.now - self._heard > limit * WATCHDOG_UNIT
    if limit <= 0 or not late or not self.table["torque_enable"]:
      return
    self.table.set("bus_watchdog", WATCHDOG_ERROR)
    self.table.reset(["profile_acceleration", "profile_velocity", "goal_velocity"])
    mode = self.table["operating_mode"]
    if mode == CURRENT:
      self.table.set("goal_current", 0)
    elif mode == PWM_MODE:
      self.table.set("goal_pwm", 0)
    self.hold()

  def _check_hardware(self) -> None:
    """Notes hardware errors, which only a reboot clears, and shuts down."""
    table = self.table
    low, high = table["min_voltage_limit"] * VOLT, table["max_voltage_limit"] * VOLT
    error = table["hardware_error_status"]
    if not low - 1e-9 <= self.voltage <= high + 1e-9:
      error |= VOLTAGE_ERROR
    if self.temperature > table["temperature_limit"]:
      error |= OVERHEATING
    table.set("hardware_error_status", error)
    if error & table["shutdown"]:
      table.set("torque_enable", 0)
