"""Says in one sentence what a file of the user's raised, and on which of its lines."""

from __future__ import annotations

import re
import sys
import traceback
from typing import NamedTuple

PREFIX = "task_file_"
"""Begins the names of modules that are files of the user's."""
LONGEST = 240
"""Characters of another library's message at most."""
RAISED = (BaseException,)
"""What code that is not ours may raise: it must not end the program without a word."""


class Frame(NamedTuple):
  """Where an error passed.

  Attributes:
    module: its name.
    file: path of its source.
    line: number of the line.
  """

  module: str
  file: str
  line: int


def blame(error: BaseException) -> str | None:
  """Returns a sentence on an error that a file of the user's raised, ``None`` of another one.

  Args:
    error: as it was caught, perhaps by way of compiled code, whose error quotes the traceback
      of what it called.
  """
  passed = frames(error)
  theirs = [frame for frame in passed if frame.module.startswith(PREFIX)]
  if isinstance(error, KeyboardInterrupt) and passed[-1:] != theirs[-1:]:
    return None  # somebody pressed Ctrl-C
  if theirs:
    return describe(error, f"{theirs[-1].file}, line {theirs[-1].line}")
  return quoted(str(error))


def describe(error: BaseException, where: str) -> str:
  """Writes an error as a sentence: where, of which kind, what it says."""
  message = shorten(str(getattr(error, "msg", None) or error))
  return f"{where}: {type(error).__name__}{': ' * bool(message)}{message}"


def shorten(message: str) -> str:
  """Writes a message on one line and cuts it where it gets long."""
  message = " ".join(message.split())
  return message if len(message) <= LONGEST else message[:LONGEST] + "..."


def frames(error: BaseException) -> list[Frame]:
  """Lists the frames that an error passed, the innermost last."""
  return [
    Frame(frame.f_globals.get("__name__", ""), frame.f_code.co_filename, line)
    for frame, line in traceback.walk_tb(error.__traceback__)
  ]


def quoted(text: str) -> str | None:
  """Returns a sentence on a file of the user's whose traceback an error of XLA's quotes."""
  for name, module in list(sys.modules.items()):
    if not name.startswith(PREFIX):
      continue
    lines = re.findall(rf'File "{re.escape(str(module.__file__))}", line (\d+)', text)
    if lines:
      said = [line for line in text.splitlines() if re.match(r"[\w.]+(: |$)", line)]
      return shorten(f"{module.__file__}, line {lines[-1]}: {said[-1] if said else text}")
  return None
