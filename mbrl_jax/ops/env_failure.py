"""Tells that somebody else's environment failed, through compiled code if need be.

An exception in a callback ends the compiled program, and XLA raises an error of its own
whose text quotes the traceback. ``failure`` finds the environment's in it.
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
  """An environment on the host raised, returned nonsense or did not answer in time."""


class Malformed(Exception):
  """An environment returned something else than its protocol or its spaces say."""

  def __init__(self, value: Any, expected: str, role: str = ""):
    """Describes what was returned (as ``role``) and what should have been."""
    super().__init__(_describe(value) + (f" as {role}" if role else ""), expected)


def failed(message: str) -> EnvironmentFailed:
  """Returns an error whose message is one line of bearable length that XLA can quote.

  XLA ends the process at characters that UTF-8 has not, and the message at a null.
  """
  message = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
  return EnvironmentFailed(message if len(message) <= _LONGEST else message[:_LONGEST] + "...")


def text_of(error: BaseException) -> str:
  """Returns the text of somebody else's error, ``""`` where even that fails."""
  try:
    return str(error)
  except Exception:
    return ""


def marks_failure(function: Callable) -> Callable:
  """Makes a callback's failures ones that ``failure`` recognises in the text of XLA's error."""

  @functools.wraps(function)
  def marking(*arguments: Any) -> Any:
    try:
      return function(*arguments)
    except EnvironmentFailed as error:
      raise EnvironmentFailed(f"{_OPEN}{error}{_CLOSE}") from None

  return marking


def failure(error: BaseException) -> str | None:
  """Returns what an environment failed of, or ``None`` if ``error`` is another one."""
  found = re.search(f"{re.escape(_OPEN)}(.*?){re.escape(_CLOSE)}", str(error), re.DOTALL)
  if found is not None:
    return found[1]
  return str(error) if isinstance(error, EnvironmentFailed) else None


def _describe(value: Any) -> str:
  """Describes a value in a few words."""
  if isinstance(value, (tuple, list)):
    return f"a {type(value).__name__} of {len(value)}"
  shape = getattr(value, "shape", ())
  return f"an array of shape {list(shape)} ({value.dtype})" if shape else reprlib.repr(value)
