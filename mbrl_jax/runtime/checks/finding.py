"""What a check has to say about a task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mbrl_jax.ops.env_failure import failure
from mbrl_jax.runtime import user_error

OK, NOTE, WRONG = "ok", "note", "wrong"


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


def run_check(check: Callable[..., Finding], *arguments: object) -> Finding:
  """Calls a check; a task that raises is wrong, and is told where it did."""
  try:
    return check(*arguments)
  except MemoryError:
    raise  # which is no fault of the task's
  except user_error.RAISED as error:
    if isinstance(error, KeyboardInterrupt) and not user_error.blame(error):
      raise
    name, reason = check.__name__.removeprefix("check_"), failure(error)
    reason = reason or user_error.quoted(str(error))
    if reason is None:
      reason = f"{type(error).__name__}{_where(error)}: {user_error.shorten(str(error))}"
    return Finding(name, WRONG, reason)


def _where(error: BaseException) -> str:
  """Names the line of the task's own code that an error came from."""
  here, frames = Path(__file__).parent, user_error.frames(error)
  theirs = [frame for frame in frames if frame.module.startswith(user_error.PREFIX)]
  others = [f for f in frames if "site-packages" not in f.file and Path(f.file).parent != here]
  found = (theirs or others)[-1:]
  return f" ({Path(found[0].file).name}, line {found[0].line})" if found else ""
