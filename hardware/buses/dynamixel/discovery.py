"""Finds servos on a port and checks that those of a robot are there."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from hardware.buses.dynamixel.answer import Answer, BusError
from hardware.buses.dynamixel.bus import Bus
from hardware.buses.dynamixel.port import Port
from hardware.buses.dynamixel.registers import BAUD_RATES

SCAN_PATIENCE = 0.03
"""Seconds for an answer while scanning: above any adapter's latency timer."""
TRIES = 3


@dataclass(frozen=True, slots=True)
class Identity:
  """What a servo answers to a ping.

  Attributes:
    model: model number, see ``registers.MODELS``.
    firmware: version; the bus watchdog needs 38.
  """

  model: int
  firmware: int


def identity(answer: Answer) -> Identity:
  """Returns the identity in an answer to ``Bus.ping``.

  Raises:
    BusError: the ping failed.
  """
  return Identity(*struct.unpack("<HB", answer.require()))


def require(bus: Bus, ids: Iterable[int]) -> dict[int, Identity]:
  """Pings servos, each up to three times, and returns their identities.

  Args:
    bus: an open bus.
    ids: of the servos that must be there.

  Raises:
    BusError: some do not answer; names them. If none does, baud rate and power are suspected.
  """
  answers = {}
  for id in ids:
    for _ in range(TRIES):
      answers[id] = bus.ping(id)
      if answers[id].ok:
        break
  missing = [id for id, answer in answers.items() if not answer.ok]
  if not missing:
    return {id: identity(answer) for id, answer in answers.items()}
  path, baud = bus.port.path, bus.port.baud
  names = ", ".join(map(str, missing))
  if len(missing) == len(answers):
    raise BusError(
      f"No servo answers on {path} at {baud} baud (asked: {names}). Is the power on? Is the "
      f"baud rate right? scan({path!r}, {missing}) tries all: {[*BAUD_RATES.values()]}."
    )
  found = ", ".join(str(id) for id, answer in answers.items() if answer.ok)
  reasons = "; ".join(f"{id} {answers[id].reason}" for id in missing)
  raise BusError(
    f"Servos {names} are missing on {path} at {baud} baud ({reasons}); {found} answer. "
    "Check the cable behind the last that answers, and the IDs."
  )


def scan(
  path: str, ids: Iterable[int], bauds: Iterable[int] = tuple(BAUD_RATES.values())
) -> dict[int, list[int]]:
  """Returns which of ``ids`` answer at which baud rate; rates without any are left out.

  Args:
    path: of the port.
    ids: to try.
    bauds: to try, in bits per second.

  Raises:
    PortError: the port cannot be opened.
  """
  found, ids = {}, list(ids)
  for baud in bauds:
    with Port(path, baud) as port:
      bus = Bus(port, SCAN_PATIENCE)
      if there := [id for id in ids if bus.ping(id).ok]:
        found[baud] = there
  return found
