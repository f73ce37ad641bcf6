"""One emulated moteus controller: registers, mode machine, watchdog and control law.

It behaves like the firmware where the reference describes it. Not modelled: the integral term,
acceleration limits of internal trajectories, currents, power limits, and modes other than those
in ``register_file.COMMANDABLE``. A malformed frame is ignored as a whole, where the firmware
may apply what precedes the error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hardware.buses.moteus.frames import (
  BROADCAST,
  Frame,
  FrameError,
  Kind,
  Subframe,
  make_id,
  parse,
  register_error,
)
from hardware.buses.moteus.registers import Mode, Register, Resolution, scale_raw
from hardware.emulators.moteus.register_file import (
  COMMAND_DEFAULTS,
  answer,
  joined,
  write_error,
)
from hardware.emulators.moteus.trajectory import Trajectory
from mbrl_jax.ops.validate import between

OVER_VOLTAGE, OVER_TEMPERATURE, OUTSIDE_LIMIT, UNDER_VOLTAGE = 34, 38, 39, 40
TORQUE_NOTICE, BOUNDS_NOTICE = 102, 103
_WATCHED = (Mode.POSITION, Mode.ZERO_VELOCITY)


@dataclass(frozen=True)
class ControllerConfig:
  """Configuration of a controller; names in brackets are the firmware's.

  Attributes:
    kp: N m per revolution (servo.pid_position.kp).
    kd: N m per revolution per second (servo.pid_position.kd).
    maximum_torque: N m that the motor can give.
    default_timeout: watchdog's in seconds, for commands without one (servo.default_timeout_s).
    position_min: revolutions; NaN: none (servopos.position_min).
    position_max: revolutions; NaN: none (servopos.position_max).
    minimum_voltage: V below which it faults.
    maximum_voltage: V above which it faults (servo.max_voltage).
    fault_temperature: degrees Celsius above which it faults (servo.fault_temperature).
    brake: N m per revolution per second of the shorted motor.
    gear: turns of the motor per revolution of the output.
  """

  kp: float = 4.0
  kd: float = 0.05
  maximum_torque: float = 16.0
  default_timeout: float = 0.1
  position_min: float = math.nan
  position_max: float = math.nan
  minimum_voltage: float = 10.0
  maximum_voltage: float = 46.0
  fault_temperature: float = 75.0
  brake: float = 0.2
  gear: float = 6.0


class Controller:
  """An emulated controller. It has no clock: ``advance`` tells it the time.

  Attributes:
    id: on the bus, 1 to 126.
    mode: present mode.
    fault: code of the fault, or of a notice.
    voltage: of the supply, V.
    temperature: of the board, degrees Celsius.
    malformed: number of frames ignored for that.
  """

  def __init__(self, identifier: int, config: ControllerConfig | None = None) -> None:
    """Makes a stopped controller.

    Args:
      identifier: its id.
      config: see ``ControllerConfig``.

    Raises:
      ArgumentError: the id is not from 1 to 126.
    """
    between(1, BROADCAST - 1, identifier=identifier)
    self.id, self.config = identifier, config or ControllerConfig()
    self.mode, self.fault, self.malformed = Mode.STOPPED, 0, 0
    self.voltage, self.temperature = 24.0, 25.0
    self._offset = self._raw = self._velocity = self._torque = self._age = 0.0
    self._written = dict(COMMAND_DEFAULTS)
    self._active = dict(COMMAND_DEFAULTS)
    self._trajectory = Trajectory(self._active, 0.0)

  @property
  def position(self) -> float:
    """Position of the output in revolutions, as calibrated."""
    return self._raw + self._offset

  def sense(self, position: float, velocity: float) -> None:
    """Takes the plant's state.

    Args:
      position: revolutions.
      velocity: revolutions per second.
    """
    self._raw, self._velocity = float(position), float(velocity)

  def handle(self, frame: Frame) -> Frame | None:
    """Executes a frame and returns the reply, None without one.

    The reply shows the state before the command, as on the device.
    """
    if frame.destination not in (self.id, BROADCAST):
      return None
    try:
      parts = parse(frame.data)
    except FrameError:
      self.malformed += 1
      return None
    errors, mode = self._write(parts)
    reply = joined(errors, answer(parts, self.read))
    if mode is not None:
      self._command(mode)
    return Frame(make_id(self.id, frame.source), reply) if frame.wants_reply else None

  def read(self, register: int) -> float | None:
    """Returns a register in its unit, None if there is none of that number."""
    if register in COMMAND_DEFAULTS:
      return self._written[register]
    get = _READABLE.get(register)
    return None if get is None else get(self)

  def advance(self, seconds: float) -> None:
    """Lets time pass: watchdog, faults, trajectory.

    Args:
      seconds: since the last call.
    """
    if self.mode in (Mode.STOPPED, Mode.FAULT):
      return
    if self.voltage < self.config.minimum_voltage:
      return self._fail(UNDER_VOLTAGE)
    if self.voltage > self.config.maximum_voltage:
      return self._fail(OVER_VOLTAGE)
    if self.temperature > self.config.fault_temperature:
      return self._fail(OVER_TEMPERATURE)
    self._age += seconds
    limit = self._active[Register.COMMAND_TIMEOUT] or self.config.default_timeout
    if self.mode in _WATCHED and self._age > limit:  # never with NaN, which is no watchdog
      self.mode = Mode.TIMEOUT
    if self.mode is Mode.POSITION:
      self._trajectory.advance(seconds)

  def torque(self) -> float:
    """Returns the torque in N m that the controller applies in the state last sensed."""
    self._torque = self._limited(self._wanted())
    return self._torque

  def _wanted(self) -> float:
    config, active, trajectory = self.config, self._active, self._trajectory
    if self.mode in (Mode.STOPPED, Mode.FAULT):
      return 0.0
    if self.mode is Mode.BRAKE:
      return -config.brake * self._velocity
    damping = config.kd * active[Register.COMMAND_KD_SCALE]
    if self.mode is not Mode.POSITION:  # zero velocity; so does a time-out by default
      return -damping * self._velocity
    stiffness = config.kp * active[Register.COMMAND_KP_SCALE]
    return (
      stiffness * (trajectory.position - self.position)
      + damping * (trajectory.velocity - self._velocity)
      + active[Register.COMMAND_TORQUE]
    )

  def _limited(self, torque: float) -> float:
    """Returns the torque that the limits permit; says so in the fault register."""
    if self.mode is Mode.FAULT or math.isnan(torque):
      return 0.0
    config, self.fault = self.config, 0
    limit = abs(self._active[Register.COMMAND_MAXIMUM_TORQUE])
    limit = config.maximum_torque if math.isnan(limit) else min(limit, config.maximum_torque)
    if abs(torque) > limit:
      self.fault = TORQUE_NOTICE
    torque = max(-limit, min(limit, torque))
    outwards = (self.position > config.position_max and torque > 0) or (
      self.position < config.position_min and torque < 0
    )
    if outwards:
      self.fault = BOUNDS_NOTICE
    return 0.0 if outwards else torque

  def _write(self, parts: list[Subframe]) -> tuple[bytes, Mode | None]:
    """Stores written registers; returns errors and the mode commanded."""
    errors, mode = b"", None
    for part in parts:
      if part.kind is not Kind.WRITE or part.value is None:
        continue
      value = scale_raw(part.register, part.value, part.resolution or Resolution.INT8)
      code = write_error(part.register, value)
      if code:
        errors = joined(errors, register_error(Kind.WRITE_ERROR, part.register, code))
      elif part.register == Register.MODE:
        mode, self._written = Mode(int(value)), dict(COMMAND_DEFAULTS)
      elif part.register in COMMAND_DEFAULTS:
        self._written[part.register] = value
      elif math.isfinite(value):
        self._calibrate(part.register, value)
    return errors, mode

  def _command(self, mode: Mode) -> None:
    """Enters a mode, if the present one can be left for it."""
    if mode is Mode.STOPPED:
      self.mode, self.fault = mode, 0
      return
    if self.mode in (Mode.FAULT, Mode.TIMEOUT):
      return  # latched until a stop
    config = self.config
    outside = self.position < config.position_min or self.position > config.position_max
    if self.mode is Mode.STOPPED and mode is Mode.POSITION and outside:
      return self._fail(OUTSIDE_LIMIT)
    start = self._trajectory.position if self.mode is Mode.POSITION else self.position
    self.mode, self._active, self._age = mode, dict(self._written), 0.0
    self._trajectory = Trajectory(self._active, start)

  def _fail(self, fault: int) -> None:
    self.mode, self.fault, self._torque = Mode.FAULT, fault, 0.0

  def _calibrate(self, register: int, position: float) -> None:
    """Declares the present position, exactly or to the nearest whole turn of the motor."""
    offset = position - self._raw
    if register == Register.SET_OUTPUT_NEAREST:
      offset = round(offset * self.config.gear) / self.config.gear
    self._offset = offset


_READABLE: dict[int, Callable[[Controller], float]] = {
  Register.MODE: lambda c: c.mode,
  Register.POSITION: lambda c: c.position,
  Register.VELOCITY: lambda c: c._velocity,
  Register.TORQUE: lambda c: c._torque,
  Register.VOLTAGE: lambda c: c.voltage,
  Register.TEMPERATURE: lambda c: c.temperature,
  Register.FAULT: lambda c: c.fault,
  Register.CONTROL_POSITION: lambda c: c._trajectory.position,
  Register.CONTROL_VELOCITY: lambda c: c._trajectory.velocity,
  Register.CONTROL_TORQUE: lambda c: c._torque,
  Register.MODEL_NUMBER: lambda c: 0,
  Register.FIRMWARE_VERSION: lambda c: 0x010000,
  Register.REGISTER_MAP_VERSION: lambda c: 5,
}
