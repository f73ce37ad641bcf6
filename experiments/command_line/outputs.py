"""Checks before the work that its results can be written; writes CSV tables."""

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
"""Suffixes of image files that matplotlib can write."""
TEMPORARY = 24
"""Characters that the name of a temporary file adds to that of the final file."""
BLOCK = 4096
"""Free bytes that a disk must have."""


def check_file(path: Path, flag: str = "--out", suffixes: Sequence[str] = ()) -> Path:
  """Checks that a file can be written and returns its path; creates nothing.

  Args:
    path: the file; an existing one will be replaced.
    flag: the flag that gave the path.
    suffixes: the valid suffixes; empty: any.

  Raises:
    UsageError: the file cannot be written; gives the reason.
    OSError: the disk is full.
  """
  typed = f"{flag}={path}"
  if suffixes and path.suffix.lower() not in suffixes:
    raise UsageError(f"{typed}: the name must end in {' or '.join(suffixes)}.")
  _check_name(path, typed)
  if path.is_dir():
    raise UsageError(f"{typed} is a folder; give a file.")
  if path.exists() and not path.is_file():
    raise UsageError(f"{typed} is not a regular file.")
  if path.exists() and not os.access(path, os.W_OK):
    raise UsageError(f"{typed} cannot be written: {os.strerror(errno.EACCES)}.")
  _check_writable(path.parent, typed)
  _delete_stale(path.parent, path.name)
  return path


def check_folder(path: Path, flag: str = "--out") -> Path:
  """Checks that files can be written to a folder, existing or not, and returns its path.

  Raises:
    UsageError: they cannot; gives the reason.
    OSError: the disk is full.
  """
  _check_writable(path, f"{flag}={path}")
  _delete_stale(path)
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


def _delete_stale(folder: Path, name: str | None = None) -> None:
  """Deletes temporary files of killed processes: all, or those for the file ``name``."""
  for path in folder.iterdir() if folder.is_dir() else ():
    found = re.fullmatch(r"\.(.+)\.(\d+)\.tmp", path.name)
    if found and name in (None, found[1]) and not _is_running(int(found[2])):
      path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
  try:
    os.kill(process, 0)
  except ProcessLookupError:
    return False
  except (OSError, OverflowError):  # another user's process, or not a process id
    return True
  return True


def _check_name(path: Path, typed: str) -> None:
  """Refuses a name that is too long, its temporary file's included."""
  try:
    os.lstat(f"{path}{'.' * TEMPORARY}")
  except (FileNotFoundError, NotADirectoryError):
    pass
  except OSError as error:
    raise UsageError(f"{typed} cannot be written: {error.strerror}.") from error


def _check_writable(folder: Path, typed: str) -> None:
  """Writes an unnamed temporary file to a folder or, if it is missing, to its parent."""
  _check_name(folder, typed)
  while not folder.exists():
    folder = folder.parent
  if not folder.is_dir():
    raise UsageError(f"{typed} cannot be written: {folder} is a file, not a folder.")
  try:
    with tempfile.TemporaryFile(dir=folder) as file:
      file.write(bytes(BLOCK))
  except OSError as error:
    if error.errno == errno.ENOSPC:
      raise OSError(error.errno, error.strerror, str(folder)) from error
    raise UsageError(f"{typed} cannot be written: {error.strerror} ({folder}).") from error
