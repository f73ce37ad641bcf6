"""What a check has to say about a task."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mbrl_jax.envs.adapters.failure import failure

OK, NOTE, WRONG = "ok", "note", "wrong"
_LONGEST = 240  # characters of another library's message


class Finding(NamedTuple):
  """One line about a task.

  Attributes:
    check: which check says it.
    level: ``"ok"``, ``"note"`` (it may be meant so) or ``"wrong"``.
    text: what it found.
  """

  check: str
  level: str
  text: str


def guarded(check: Callable[..., Finding], *arguments: object) -> Finding:
  """Calls a check; a task that raises is wrong, and is told where it did."""
  try:
    return check(*arguments)
  except Exception as error:
    name, reason = check.__name__.removeprefix("check_"), failure(error)
    if reason is not None:
      return Finding(name, WRONG, reason)
    message = " ".join(str(error).split())
    message = message if len(message) <= _LONGEST else message[:_LONGEST] + "..."
    return Finding(name, WRONG, f"{type(error).__name__}{_where(error)}: {message}")


def _where(error: Exception) -> str:
  """Names the line of the task's own code that an error came from."""
  here = Path(__file__).parent
  frames = [
    frame
    for frame in traceback.extract_tb(error.__traceback__)
    if "site-packages" not in frame.filename and Path(frame.filename).parent != here
  ]
  return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
