"""Writes files so that a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


def write_atomic(path: Path | str, write: Callable[[BinaryIO], Any]) -> None:
  """Calls ``write(file)`` on a temporary neighbour, then renames it to ``path``.

  Raises:
    OSError: as ``write`` or the file system does; ``path`` is then untouched.
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
  finally:
    with contextlib.suppress(FileNotFoundError):
      temporary.unlink()


def write_text(path: Path | str, text: str) -> None:
  """Writes ``text`` to ``path`` atomically."""
  write_atomic(path, lambda file: file.write(text.encode()))


def write_json(path: Path | str, value: Any) -> None:
  """Writes ``value`` as indented JSON to ``path`` atomically."""
  write_text(path, json.dumps(value, indent=2) + "\n")


def sync(path: Path | str) -> None:
  """Forces a file, or the entries of a folder, to the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def sync_tree(folder: Path) -> None:
  """Forces every file below ``folder``, and the folders' entries, to the disk."""
  for parent, _, names in os.walk(folder):
    for name in [".", *names]:
      sync(os.path.join(parent, name))
