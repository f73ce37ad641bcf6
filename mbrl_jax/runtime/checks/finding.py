"""Runs a check of a task and reports its result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mbrl_jax.ops.env_failure import failure
from mbrl_jax.runtime import user_error

OK, NOTE, WRONG = "ok", "note", "wrong"


class Finding(NamedTuple):
  """The result of one check of a task.

  Attributes:
    check: name of the check.
    level: ``"ok"``, ``"note"`` (may be intended) or ``"wrong"``.
    text: what the check found, one line.
  """

  check: str
  level: str
  text: str


def run_check(check: Callable[..., Finding], *arguments: object) -> Finding:
  """Calls a check; an exception of the task becomes a ``"wrong"`` finding with its line."""
  try:
    return check(*arguments)
  except MemoryError:
    raise  # not the task's error
  except user_error.RAISED as error:
    if isinstance(error, KeyboardInterrupt) and not user_error.blame(error):
      raise
    name, reason = check.__name__.removeprefix("check_"), failure(error)
    reason = reason or user_error.quoted(str(error))
    if reason is None:
      reason = f"{type(error).__name__}{_where(error)}: {user_error.shorten(str(error))}"
    return Finding(name, WRONG, reason)


def _where(error: BaseException) -> str:
  """Returns the file and line of the task's code that raised an error."""
  here, frames = Path(__file__).parent, user_error.frames(error)
  in_task = [frame for frame in frames if frame.module.startswith(user_error.PREFIX)]
  others = [f for f in frames if "site-packages" not in f.file and Path(f.file).parent != here]
  found = (in_task or others)[-1:]
  return f" ({Path(found[0].file).name}, line {found[0].line})" if found else ""
