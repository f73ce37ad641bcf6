"""Commands to a moteus controller and the replies to them.

A command that sets the mode starts from the controller's defaults, so what a command leaves out
is not kept from the one before: position 0, gains unscaled, maximum torque and time-out of the
configuration. Here position, maximum torque and time-out are therefore always transmitted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

from hardware.buses.moteus.frames import (
  MAX_BYTES,
  Frame,
  Kind,
  make_id,
  parse,
  read_registers,
  write_registers,
)
from hardware.buses.moteus.registers import Mode, Register, Resolution, largest, scale_raw
from mbrl_jax.ops.validate import ArgumentError

HOST = 0
"""Id of the host."""
LONGEST_TIMEOUT = 1.0
"""Largest watchdog timeout in seconds; with a larger one a lost host is noticed too late."""

STATE: dict[int, Resolution] = {
  Register.MODE: Resolution.INT8,
  Register.POSITION: Resolution.FLOAT,
  Register.VELOCITY: Resolution.FLOAT,
  Register.TORQUE: Resolution.FLOAT,
  Register.VOLTAGE: Resolution.INT8,
  Register.TEMPERATURE: Resolution.INT8,
  Register.FAULT: Resolution.INT8,
}
"""Registers that describe a controller's state; moteus' own client asks for the same."""


@dataclass(frozen=True)
class PositionCommand:
  """A command of position mode, which includes velocity and torque control.

  The controller applies ``kp * kp_scale * position error + kd * kd_scale * velocity error +
  torque``, within the maximum torque. None leaves a value to the controller's default.

  Attributes:
    maximum_torque: N m; the applied torque never exceeds it.
    timeout: seconds without another command after which the controller only damps, with
      ``kd * kd_scale`` (mode ``TIMEOUT``, latched until a stop). NaN would switch this watchdog
      off.
    position: revolutions of the output; NaN: where the controller is.
    velocity: revolutions per second at which the position moves on.
    torque: N m, added to what the gains give.
    kp_scale: factor of the configured position gain.
    kd_scale: factor of the configured velocity gain.
    stop_position: revolutions at which the motion ends; NaN: none.
    velocity_limit: revolutions per second of internal trajectories; NaN: none.
    acceleration_limit: revolutions per second squared of internal trajectories; NaN: none.

  Raises:
    ArgumentError: a value is not finite where it must be, or is negative, or the timeout is not
      in (0, 1].
  """

  maximum_torque: float
  timeout: float
  position: float = math.nan
  velocity: float | None = None
  torque: float | None = None
  kp_scale: float | None = None
  kd_scale: float | None = None
  stop_position: float | None = None
  velocity_limit: float | None = None
  acceleration_limit: float | None = None

  def __post_init__(self) -> None:
    if not 0 < self.timeout <= LONGEST_TIMEOUT:
      valid = f"must lie above 0 and be at most {LONGEST_TIMEOUT} seconds: NaN would switch"
      raise ArgumentError("timeout", self.timeout, f"{valid} the controller's watchdog off.")
    for name in ("maximum_torque", "kp_scale", "kd_scale"):
      value = getattr(self, name)
      if value is not None and not 0 <= value < math.inf:
        raise ArgumentError(name, value, "must be a finite number of at least 0.")
    for name in ("velocity", "torque"):
      value = getattr(self, name)
      if value is not None and not math.isfinite(value):
        raise ArgumentError(name, value, "must be a finite number; send a stop to stop.")
    for name in ("position", "stop_position", "velocity_limit", "acceleration_limit"):
      value = getattr(self, name)
      if value is not None and math.isinf(value):
        raise ArgumentError(name, value, "must be a finite number, or NaN for none.")


_COMMAND_REGISTERS: dict[str, Register] = {
  "maximum_torque": Register.COMMAND_MAXIMUM_TORQUE,
  "timeout": Register.COMMAND_TIMEOUT,
  "position": Register.COMMAND_POSITION,
  "velocity": Register.COMMAND_VELOCITY,
  "torque": Register.COMMAND_TORQUE,
  "kp_scale": Register.COMMAND_KP_SCALE,
  "kd_scale": Register.COMMAND_KD_SCALE,
  "stop_position": Register.COMMAND_STOP_POSITION,
  "velocity_limit": Register.COMMAND_VELOCITY_LIMIT,
  "acceleration_limit": Register.COMMAND_ACCELERATION_LIMIT,
}


def torque_command(torque: float, maximum_torque: float, timeout: float) -> PositionCommand:
  """Returns the command of pure torque control: position mode without gains.

  With no velocity gain a time-out leaves the joint limp instead of damped.

  Args:
    torque: N m.
    maximum_torque: N m.
    timeout: watchdog's, in seconds.
  """
  return PositionCommand(maximum_torque, timeout, torque=torque, kp_scale=0.0, kd_scale=0.0)


class RegisterError(NamedTuple):
  """A register that a controller could not write or read."""

  kind: Kind
  register: int
  code: int


class Reply(NamedTuple):
  """A controller's answer.

  Attributes:
    source: id of the controller.
    values: value of each register in its unit; NaN where the controller has none.
    errors: registers without an answer.
  """

  source: int
  values: dict[int, float]
  errors: tuple[RegisterError, ...]


def position_frame(
  controller: int,
  command: PositionCommand,
  query: Mapping[int, Resolution] | None = None,
  resolutions: Mapping[int, Resolution] | None = None,
) -> Frame:
  """Returns the frame of a position command.

  Args:
    controller: id of the addressee.
    command: its values.
    query: registers to ask for, such as ``STATE``; None: no reply. A reply shows the state
      before the command.
    resolutions: number types of command registers; what is not given travels as a float.

  Raises:
    ArgumentError: a value does not fit in its number type, or the reply not in a frame.
  """
  chosen = dict(resolutions or {})
  values: dict[int, float] = {}
  for field in fields(command):
    value = getattr(command, field.name)
    if value is not None:
      register = _COMMAND_REGISTERS[field.name]
      resolution = chosen.setdefault(register, Resolution.FLOAT)
      values[register] = _fitting(field.name, value, register, resolution)
  return _frame(controller, _set_mode(Mode.POSITION) + write_registers(values, chosen), query)


def stop_frame(controller: int, query: Mapping[int, Resolution] | None = None) -> Frame:
  """Returns the frame that takes the torque off and clears faults and time-outs.

  Args:
    controller: id of the addressee.
    query: registers to ask for; None: no reply.
  """
  return _frame(controller, _set_mode(Mode.STOPPED), query)


def query_frame(controller: int, query: Mapping[int, Resolution] | None = None) -> Frame:
  """Returns the frame that asks for registers and changes nothing.

  Args:
    controller: id of the addressee.
    query: registers to ask for and their number types; ``STATE`` if None.
  """
  return _frame(controller, b"", STATE if query is None else query)


def set_output_frame(controller: int, position: float) -> Frame:
  """Returns the frame that declares the present position, for calibration with torque off.

  Args:
    controller: id of the addressee.
    position: revolutions of the output.

  Raises:
    ArgumentError: ``position`` is not finite.
  """
  if not math.isfinite(position):
    raise ArgumentError("position", position, "must be a finite number of revolutions.")
  register = Register.SET_OUTPUT_EXACT
  data = write_registers({register: position}, {register: Resolution.FLOAT})
  return _frame(controller, data, None)


def decode_reply(frame: Frame) -> Reply:
  """Returns what a controller's frame says.

  Raises:
    FrameError: it is malformed.
  """
  values: dict[int, float] = {}
  errors = []
  for part in parse(frame.data):
    if part.kind is Kind.REPLY and part.resolution is not None and part.value is not None:
      values[part.register] = scale_raw(part.register, part.value, part.resolution)
    elif part.kind in (Kind.WRITE_ERROR, Kind.READ_ERROR) and part.value is not None:
      errors.append(RegisterError(part.kind, part.register, int(part.value)))
  return Reply(frame.source, values, tuple(errors))


def _set_mode(mode: Mode) -> bytes:
  return write_registers({Register.MODE: mode}, {Register.MODE: Resolution.INT8})


def _frame(controller: int, data: bytes, query: Mapping[int, Resolution] | None) -> Frame:
  if query is not None:
    reply = write_registers(dict.fromkeys(query, 0.0), query, Kind.REPLY)
    if len(reply) > MAX_BYTES:
      valid = f"asks for {len(reply)} bytes, but a reply holds {MAX_BYTES}; ask for fewer."
      raise ArgumentError("query", len(query), valid)
    data += read_registers(query)
  if len(data) > MAX_BYTES:
    valid = f"makes a frame of more than {MAX_BYTES} bytes: use smaller number types."
    raise ArgumentError("command", len(data), valid)
  return Frame(make_id(HOST, controller, reply=query is not None), data)


def _fitting(name: str, value: float, register: Register, resolution: Resolution) -> float:
  """Returns ``value`` if its number type holds it: a saturated command is another command."""
  bound = largest(register, resolution)
  if abs(value) > bound:
    valid = f"must lie between {-bound:.6g} and {bound:.6g} as {resolution.name}."
    raise ArgumentError(name, value, f"{valid} Send it as FLOAT.")
  if register is Register.COMMAND_TIMEOUT and resolution is not Resolution.FLOAT:
    least = largest(register, resolution) / resolution.limit
    if value < least:  # 0 would mean the configured default
      raise ArgumentError(name, value, f"must be at least {least:g} as {resolution.name}.")
  return value
