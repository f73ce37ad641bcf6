"""Tells that somebody else's environment failed, through compiled code if need be.

An exception in a callback ends the compiled program, and XLA raises an error of its own
whose text quotes the traceback. ``failure`` finds the environment's in it.
"""

from __future__ import annotations

import re

_OPEN, _CLOSE = "<environment failed: ", " :environment failed>"


class EnvironmentFailed(RuntimeError):
  """An environment on the host raised, or did not answer in time; the message says what."""


def marked(message: str) -> EnvironmentFailed:
  """Returns an error that ``failure`` recognises inside the text of another."""
  return EnvironmentFailed(f"{_OPEN}{' '.join(message.split())}{_CLOSE}")


def failure(error: BaseException) -> str | None:
  """Returns what an environment failed of, or ``None`` if ``error`` is another one."""
  found = re.search(f"{re.escape(_OPEN)}(.*?){re.escape(_CLOSE)}", str(error), re.DOTALL)
  if found is not None:
    return found[1]
  return str(error) if isinstance(error, EnvironmentFailed) else None
