"""Writes files so that a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)
"""Errors of file systems that do not synchronise folders, and of folders not to be read."""


class RunFolderError(RuntimeError):
  """A folder or a file of a run that cannot be used as asked; the message says what to do."""


def write_atomic(path: Path | str, write: Callable[[BinaryIO], Any]) -> None:
  """Calls ``write(file)`` on a temporary neighbour, then renames it to ``path``.

  Raises:
    OSError: as ``write`` or the file system does, and names ``path``, which is then untouched.
  """
  path = Path(path)
  temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
  try:
    with open(temporary, "wb") as file:
      write(file)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
    sync(path.parent)
  except OSError as error:
    error.filename = error.filename or str(path)  # a full disk is told without it
    raise
  finally:
    with contextlib.suppress(FileNotFoundError):
      temporary.unlink()


def write_text(path: Path | str, text: str) -> None:
  """Writes ``text`` to ``path`` atomically."""
  write_atomic(path, lambda file: file.write(text.encode()))


def write_json(path: Path | str, value: Any) -> None:
  """Writes ``value`` as indented JSON to ``path`` atomically."""
  write_text(path, json.dumps(value, indent=2) + "\n")


def read_npz(path: Path | str) -> dict[str, np.ndarray]:
  """Reads all arrays of an ``.npz`` file.

  Raises:
    RunFolderError: it is none, or damaged; names the file and the array.
    OSError: there is no such file.
  """
  with open(path, "rb") as file:
    if not zipfile.is_zipfile(file):
      raise RunFolderError(f"{path} is not an npz file, or is cut short.")
    arrays, name = {}, "the list of its arrays"
    try:
      with np.load(path, allow_pickle=False) as stored:
        for name in stored.files:
          arrays[name] = stored[name]
    except Exception as error:  # of the archive, its compression or an array's head
      raise RunFolderError(f"{path} is damaged: {name} cannot be read.") from error
  return arrays


def sync(path: Path | str) -> None:
  """Forces a file, or the entries of a folder where that is possible, to the disk."""
  try:
    descriptor = os.open(path, os.O_RDONLY)
    try:
      os.fsync(descriptor)
    finally:
      os.close(descriptor)
  except OSError as error:
    if error.errno not in NO_SYNC or not os.path.isdir(path):
      raise


def sync_tree(folder: Path) -> None:
  """Forces every file below ``folder``, and the folders' entries, to the disk."""
  for parent, _, names in os.walk(folder):
    for name in [".", *names]:
      sync(os.path.join(parent, name))
