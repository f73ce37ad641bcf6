"""Says before the work whether its results can be written, and writes tables."""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.command_line.cli import UsageError
from mbrl_jax.runtime.storage import files

PICTURES = (".png", ".pdf", ".svg", ".eps", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".gif")
"""Suffixes of the pictures that matplotlib writes."""
TEMPORARY = 24
"""Characters by which the name of a file that is being written is longer than its own."""
BLOCK = 4096
"""Bytes that a disk must have left at least."""


def check_file(path: Path, flag: str = "--out", suffixes: Sequence[str] = ()) -> Path:
  """Checks that a file can be written, and returns it; nothing is made.

  Args:
    path: the file; one that exists is to be replaced.
    flag: that says where it is.
    suffixes: one of which its name must have; none: any.

  Raises:
    UsageError: it cannot be written there; says why.
    OSError: the disk is full.
  """
  said = f"{flag}={path}"
  if suffixes and path.suffix.lower() not in suffixes:
    raise UsageError(f"{said}: its name must end in {' or '.join(suffixes)}.")
  _check_name(path, said)
  if path.is_dir():
    raise UsageError(f"{said} is a folder; give a file in it.")
  if path.exists() and not path.is_file():
    raise UsageError(f"{said} is a device or the like, no file.")
  if path.exists() and not os.access(path, os.W_OK):
    raise UsageError(f"{said} cannot be written: {os.strerror(errno.EACCES)}.")
  _check_place(path.parent, said)
  _clean(path.parent, path.name)
  return path


def check_folder(path: Path, flag: str = "--out") -> Path:
  """Checks that files can be written into a folder, which may be made; and returns it.

  Raises:
    UsageError: they cannot; says why.
    OSError: the disk is full.
  """
  _check_place(path, f"{flag}={path}")
  _clean(path)
  return path


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Path:
  """Writes rows as a CSV file."""
  text = io.StringIO()
  table = csv.DictWriter(text, columns, lineterminator="\n")
  table.writeheader()
  table.writerows(rows)
  path.parent.mkdir(parents=True, exist_ok=True)
  files.write_text(path, text.getvalue())
  return path


def _clean(folder: Path, name: str | None = None) -> None:
  """Deletes what processes that were killed left of files that they were writing."""
  for path in folder.iterdir() if folder.is_dir() else ():
    found = re.fullmatch(r"\.(.+)\.(\d+)\.tmp", path.name)
    if found and name in (None, found[1]) and not _runs(int(found[2])):
      path.unlink(missing_ok=True)


def _runs(process: int) -> bool:
  try:
    os.kill(process, 0)
  except ProcessLookupError:
    return False
  except (OSError, OverflowError):  # somebody else's, or no number of a process
    return True
  return True


def _check_name(path: Path, said: str) -> None:
  """Refuses a name that is too long, perhaps only while it is being written."""
  try:
    os.lstat(f"{path}{'.' * TEMPORARY}")
  except (FileNotFoundError, NotADirectoryError):
    pass
  except OSError as error:
    raise UsageError(f"{said} cannot be written: {error.strerror}.") from error


def _check_place(folder: Path, said: str) -> None:
  """Writes a nameless file into a folder, or into the one in which it would be made."""
  _check_name(folder, said)
  while not folder.exists():
    folder = folder.parent
  if not folder.is_dir():
    raise UsageError(f"{said} cannot be written: {folder} is a file, not a folder.")
  try:
    with tempfile.TemporaryFile(dir=folder) as file:
      file.write(bytes(BLOCK))
  except OSError as error:
    if error.errno == errno.ENOSPC:
      raise OSError(error.errno, error.strerror, str(folder)) from error
    raise UsageError(f"{said} cannot be written: {error.strerror} ({folder}).") from error
