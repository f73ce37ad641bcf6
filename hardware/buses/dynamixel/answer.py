"""What a servo answered, or what went wrong, and what is remembered of each servo."""

from __future__ import annotations

from dataclasses import dataclass

from hardware.buses.dynamixel.frames import ALERT, ERRORS
from hardware.buses.dynamixel.registers import Item
from mbrl_jax.ops.validate import ArgumentError

SILENT, DAMAGED, REFUSED, UNASKED = "silent", "crc", "refused", "unasked"
FAILURES = {
  SILENT: "did not answer",
  DAMAGED: "its answer was damaged on the way (CRC)",
  REFUSED: "refused the instruction",
  UNASKED: "was not asked: servos before it were silent, or it has been for long",
}
"""Values of ``Answer.failure`` and what they mean."""


class BusError(ConnectionError):
  """A servo did not do what it had to; names it and says why."""


@dataclass(frozen=True, slots=True)
class Answer:
  """A servo's answer to one instruction.

  Attributes:
    id: of the servo.
    data: of the status packet; None if the instruction failed.
    failure: empty, or one of ``FAILURES``.
    error: code of the error byte without ``ALERT``; 0 is none, see ``frames.ERRORS``.
    alert: the servo reports a hardware error (register ``hardware_error_status``). Its data is
      valid all the same.
    time: ``time.monotonic()`` at which the answer was complete, or was given up.
  """

  id: int
  data: bytes | None = None
  failure: str = ""
  error: int = 0
  alert: bool = False
  time: float = 0.0

  @property
  def ok(self) -> bool:
    """Reports whether the instruction was carried out."""
    return not self.failure

  def value(self, item: Item) -> int:
    """Returns the value of an item that was read.

    Raises:
      BusError: the instruction failed.
      ArgumentError: the data is not of the item's length.
    """
    data = self.require()
    if len(data) != item.length:
      raise ArgumentError("item", item.name, f"has {item.length} bytes, the data {len(data)}.")
    return item.decode(data)

  def require(self) -> bytes:
    """Returns the data.

    Raises:
      BusError: the instruction failed.
    """
    if self.data is None or self.failure:
      raise BusError(f"Servo {self.id} {self.reason}.")
    return self.data

  @property
  def reason(self) -> str:
    """What went wrong, as the end of a sentence about the servo."""
    if self.failure == REFUSED:
      return f"{FAILURES[REFUSED]}: {ERRORS.get(self.error, f'error code {self.error}')}"
    return FAILURES.get(self.failure, "answered")


def answered(id: int, error: int, data: bytes, time: float) -> Answer:
  """Returns the answer of a status packet.

  Args:
    id: of the servo.
    error: error byte, ``ALERT`` included.
    data: what follows it.
    time: of ``time.monotonic()``.
  """
  code, alert = error & ~ALERT, bool(error & ALERT)
  if code:
    return Answer(id, None, REFUSED, code, alert, time)
  return Answer(id, data, "", 0, alert, time)


@dataclass(slots=True)
class Health:
  """What the bus remembers of one servo.

  Attributes:
    error: code of the last answer's error byte without ``ALERT``.
    alert: the last answer reported a hardware error.
    silent: requests in a row that it did not answer, and group reads that left it out.
    answers, failures: numbers of all instructions that succeeded and that did not.
  """

  error: int = 0
  alert: bool = False
  silent: int = 0
  answers: int = 0
  failures: int = 0

  def note(self, answer: Answer) -> None:
    """Updates with an answer; error and alert stay if there is none."""
    self.answers += answer.ok
    self.failures += not answer.ok
    if answer.failure == SILENT:
      self.silent += 1
    elif answer.failure != UNASKED:
      self.silent = 0
    if answer.failure in ("", REFUSED):
      self.error, self.alert = answer.error, answer.alert
