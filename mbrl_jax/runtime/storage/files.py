"""Writes files atomically, so that a reader sees the old content or the new."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)
"""Errors of file systems that cannot sync folders, and of folders without read permission."""


class RunFolderError(RuntimeError):
  """A run's folder or file cannot be used; the message gives the remedy."""


def write_atomic(path: Path | str, write: Callable[[BinaryIO], Any]) -> None:
  """Calls ``write(file)`` on a temporary file in the same folder, then renames it to ``path``.

  Raises:
    OSError: raised by ``write`` or the file system; names ``path``, which is unchanged.
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
    error.filename = error.filename or str(path)  # the error of a full disk has none
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


def write_npz(
  path: Path | str, arrays: Mapping[str, np.ndarray], compress: bool = False
) -> None:
  """Writes an ``.npz`` file to ``path`` atomically."""
  save: Callable[..., None] = np.savez_compressed if compress else np.savez
  write_atomic(path, lambda file: save(file, **arrays))


def read_npz(path: Path | str) -> dict[str, np.ndarray]:
  """Reads all arrays of an ``.npz`` file.

  Raises:
    RunFolderError: it is not an npz file, or is damaged; names the file and the array.
    OSError: the file does not exist.
  """
  with open(path, "rb") as file:
    if not zipfile.is_zipfile(file):
      raise RunFolderError(f"{path} is not an npz file, or is incomplete.")
    arrays, name = {}, "its index"
    try:
      with np.load(path, allow_pickle=False) as stored:
        for name in stored.files:
          arrays[name] = stored[name]
    except Exception as error:  # from the archive, its compression or an array's header
      raise RunFolderError(f"{path} is damaged: {name} cannot be read.") from error
  return arrays


def sync(path: Path | str) -> None:
  """Flushes a file to the disk, or a folder's entries if the file system supports it."""
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
  """Flushes every file below ``folder``, and the folders' entries, to the disk."""
  for parent, _, names in os.walk(folder):
    for name in [".", *names]:
      sync(os.path.join(parent, name))
