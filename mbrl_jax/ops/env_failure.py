"""Reports failures of external environments, also from within compiled code.

An exception in a callback aborts the compiled program, and XLA raises its own error whose
text quotes the traceback. ``failure`` extracts the environment's message from it.
"""

from __future__ import annotations

import functools
import re
import reprlib
from collections.abc import Callable
from typing import Any

_OPEN, _CLOSE = "<environment failed: ", " :environment failed>"
_LONGEST = 1000  # characters of a message


class EnvironmentFailed(RuntimeError):
  """An environment on the host raised, returned an invalid value or timed out."""


class Malformed(Exception):
  """An environment returned a value that violates its protocol or its spaces."""

  def __init__(self, value: Any, expected: str, role: str = ""):
    """Describes the returned value (its ``role``) and the expected one."""
    super().__init__(_describe(value) + (f" as {role}" if role else ""), expected)


def failed(message: str) -> EnvironmentFailed:
  """Makes an error whose message is one short line that XLA can quote.

  XLA aborts the process on characters that UTF-8 cannot encode, and cuts the message at a
  null character.
  """
  message = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
  return EnvironmentFailed(message if len(message) <= _LONGEST else message[:_LONGEST] + "...")


def text_of(error: BaseException) -> str:
  """Returns the text of an external error, or ``""`` if converting it to text fails."""
  try:
    return str(error)
  except Exception:
    return ""


def marks_failure(function: Callable[..., Any]) -> Callable[..., Any]:
  """Marks failures of a callback so that ``failure`` finds them in XLA's error text."""

  @functools.wraps(function)
  def marking(*arguments: Any) -> Any:
    try:
      return function(*arguments)
    except EnvironmentFailed as error:
      raise EnvironmentFailed(f"{_OPEN}{error}{_CLOSE}") from None

  return marking


def failure(error: BaseException) -> str | None:
  """Returns the failure message of an environment, or ``None`` for any other error."""
  found = re.search(f"{re.escape(_OPEN)}(.*?){re.escape(_CLOSE)}", str(error), re.DOTALL)
  if found is not None:
    return found[1]
  return str(error) if isinstance(error, EnvironmentFailed) else None


def _describe(value: Any) -> str:
  """Describes a value briefly."""
  if isinstance(value, (tuple, list)):
    return f"a {type(value).__name__} of {len(value)}"
  shape = getattr(value, "shape", ())
  return f"an array of shape {list(shape)} ({value.dtype})" if shape else reprlib.repr(value)
