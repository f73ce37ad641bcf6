"""Describes errors raised by a user's task file in one sentence with the line number."""

from __future__ import annotations

import re
import sys
import traceback
from typing import NamedTuple

PREFIX = "task_file_"
"""Prefix of the names of modules loaded from task files."""
MAX_LENGTH = 240
"""Characters after which a message is cut."""
RAISED = (BaseException,)
"""What user code may raise, ``SystemExit`` included: all of it must be reported."""


class Frame(NamedTuple):
  """A frame of an error's traceback.

  Attributes:
    module: name of the module.
    file: path of its source.
    line: line number.
  """

  module: str
  file: str
  line: int


def blame(error: BaseException) -> str | None:
  """Describes an error that a task file raised; ``None`` for any other error.

  Args:
    error: as it was caught; an error of compiled code quotes the traceback of its callback.
  """
  all_frames = frames(error)
  user_frames = [frame for frame in all_frames if frame.module.startswith(PREFIX)]
  if isinstance(error, KeyboardInterrupt) and all_frames[-1:] != user_frames[-1:]:
    return None  # Ctrl-C
  if user_frames:
    return describe(error, f"{user_frames[-1].file}, line {user_frames[-1].line}")
  return quoted(str(error))


def describe(error: BaseException, where: str) -> str:
  """Formats an error as a sentence: location, type and message.

  Example:
    >>> describe(ValueError("no such joint"), "arm.py, line 3")
    'arm.py, line 3: ValueError: no such joint'
  """
  message = shorten(str(getattr(error, "msg", None) or error))
  return f"{where}: {type(error).__name__}{': ' * bool(message)}{message}"


def shorten(message: str) -> str:
  """Joins a message into one line and cuts it at ``MAX_LENGTH`` characters."""
  message = " ".join(message.split())
  return message if len(message) <= MAX_LENGTH else message[:MAX_LENGTH] + "..."


def frames(error: BaseException) -> list[Frame]:
  """Lists the frames of an error's traceback, the innermost last."""
  return [
    Frame(frame.f_globals.get("__name__", ""), frame.f_code.co_filename, line)
    for frame, line in traceback.walk_tb(error.__traceback__)
  ]


def quoted(text: str) -> str | None:
  """Describes the error of a task file whose traceback an XLA error quotes."""
  for name, module in list(sys.modules.items()):
    if not name.startswith(PREFIX):
      continue
    lines = re.findall(rf'File "{re.escape(str(module.__file__))}", line (\d+)', text)
    if lines:
      errors = [line for line in text.splitlines() if re.match(r"[\w.]+(: |$)", line)]
      message = errors[-1] if errors else text
      return shorten(f"{module.__file__}, line {lines[-1]}: {message}")
  return None
