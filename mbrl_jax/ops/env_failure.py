"""Reports failures of environments on the host through compiled code.

An exception in a callback ends the compiled program; XLA then raises an error of its own whose
text quotes the traceback. ``failure`` finds the environment's message in it.
"""

from __future__ import annotations

import functools
import re
import reprlib
from collections.abc import Callable
from typing import Any

_OPEN, _CLOSE = "<environment failed: ", " :environment failed>"
_MAX_LENGTH = 1000  # characters of a message


class EnvironmentFailed(RuntimeError):
  """An environment on the host raised, violated its protocol or did not answer in time."""


class ProtocolError(Exception):
  """An environment returned a value that violates its protocol or its spaces."""

  def __init__(self, value: Any, expected: str, role: str = ""):
    """Describes the value that was returned (as ``role``) and the expected one."""
    super().__init__(_describe(value) + (f" as {role}" if role else ""), expected)


def environment_error(message: str) -> EnvironmentFailed:
  """Makes an error with a message of one line and limited length, which XLA can quote.

  XLA ends the process at characters that UTF-8 cannot encode, and the message at a null.
  """
  message = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
  if len(message) > _MAX_LENGTH:
    message = message[:_MAX_LENGTH] + "..."
  return EnvironmentFailed(message)


def error_text(error: BaseException) -> str:
  """Returns the text of an error, ``""`` if its ``__str__`` raises."""
  try:
    return str(error)
  except Exception:
    return ""


def tag_failures(function: Callable) -> Callable:
  """Wraps a callback so that ``failure`` recognises its failures in the text of XLA's error."""

  @functools.wraps(function)
  def tagged(*arguments: Any) -> Any:
    try:
      return function(*arguments)
    except EnvironmentFailed as error:
      raise EnvironmentFailed(f"{_OPEN}{error}{_CLOSE}") from None

  return tagged


def failure(error: BaseException) -> str | None:
  """Returns the message of an environment's failure, ``None`` for any other error."""
  found = re.search(f"{re.escape(_OPEN)}(.*?){re.escape(_CLOSE)}", str(error), re.DOTALL)
  if found is not None:
    return found[1]
  return str(error) if isinstance(error, EnvironmentFailed) else None


def _describe(value: Any) -> str:
  """Describes a value briefly, by its type and size or its ``repr``."""
  if isinstance(value, (tuple, list)):
    return f"a {type(value).__name__} of {len(value)}"
  shape = getattr(value, "shape", ())
  return f"an array of shape {list(shape)} ({value.dtype})" if shape else reprlib.repr(value)
