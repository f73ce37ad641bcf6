"""Registers of an emulated controller: which exist, and the answer to a frame."""

from __future__ import annotations

import math
from collections.abc import Callable

from hardware.buses.moteus.frames import (
  MAX_BYTES,
  Kind,
  Subframe,
  register_error,
  write_registers,
)
from hardware.buses.moteus.registers import Mode, Register, Resolution

UNKNOWN, READ_ONLY, INVALID = 1, 2, 3
"""Codes of register errors, as in moteus' firmware."""
COMMAND_DEFAULTS: dict[int, float] = {
  Register.COMMAND_POSITION: 0.0,
  Register.COMMAND_VELOCITY: 0.0,
  Register.COMMAND_TORQUE: 0.0,
  Register.COMMAND_KP_SCALE: 1.0,
  Register.COMMAND_KD_SCALE: 1.0,
  Register.COMMAND_MAXIMUM_TORQUE: math.nan,
  Register.COMMAND_STOP_POSITION: math.nan,
  Register.COMMAND_TIMEOUT: 0.0,
  Register.COMMAND_VELOCITY_LIMIT: math.nan,
  Register.COMMAND_ACCELERATION_LIMIT: math.nan,
}
"""Values of a command whose registers a frame leaves out (moteus reference, 0x020 on)."""
CALIBRATION = (Register.SET_OUTPUT_NEAREST, Register.SET_OUTPUT_EXACT)
"""Registers that can be written only."""
COMMANDABLE = (Mode.STOPPED, Mode.POSITION, Mode.ZERO_VELOCITY, Mode.BRAKE)
"""Modes that the emulator can be put into; the firmware has more."""
_WORDS = (Register.MODEL_NUMBER, Register.FIRMWARE_VERSION, Register.REGISTER_MAP_VERSION)
_WORD = Resolution.INT32


def write_error(register: int, value: float) -> int:
  """Returns why a register cannot be written, 0 if it can.

  Args:
    register: its number.
    value: to be written, in its unit.
  """
  if register == Register.MODE:
    return 0 if value in COMMANDABLE else INVALID
  if register in COMMAND_DEFAULTS or register in CALIBRATION:
    return 0
  return READ_ONLY if register in set(Register) else UNKNOWN


def answer(parts: list[Subframe], read: Callable[[int], float | None]) -> bytes:
  """Returns the reply to the reads of a frame.

  Like the firmware it leaves out what no longer fits in a frame.

  Args:
    parts: subframes of the request; other kinds than reads are skipped.
    read: returns the value of a register in its unit, None if there is no such register.
  """
  out, run = b"", list[Subframe]()
  for part in parts:
    if part.kind is not Kind.READ:
      continue
    value = read(part.register)
    known = value is not None and (part.register not in _WORDS or part.resolution == _WORD)
    if run and not (known and _follows(part, run[-1])):
      out, run = joined(out, _reply(run)), []
    if known:
      run.append(part._replace(value=value))
    else:
      out = joined(out, register_error(Kind.READ_ERROR, part.register, UNKNOWN))
  return joined(out, _reply(run))


def joined(out: bytes, more: bytes) -> bytes:
  """Returns ``out`` and ``more``, without the latter if a frame cannot hold both."""
  return out + more if len(out) + len(more) <= MAX_BYTES else out


def _follows(part: Subframe, last: Subframe) -> bool:
  return part.resolution == last.resolution and part.register == last.register + 1


def _reply(run: list[Subframe]) -> bytes:
  """Returns the reply with values of consecutive registers in one resolution."""
  values = {part.register: part.value for part in run if part.value is not None}
  resolutions = {part.register: part.resolution for part in run if part.resolution is not None}
  return write_registers(values, resolutions, Kind.REPLY)
