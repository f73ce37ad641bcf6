"""Lets one process at a time write to a folder."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

from mbrl_jax.runtime.storage.files import RunFolderError

NAME = ".lock"
"""File in the folder; it stays there, but only counts while a process holds it."""
TAKEN = (errno.EAGAIN, errno.EACCES)


@dataclasses.dataclass
class _Held:
  """A folder that this process holds: its open file, and how often it was entered."""

  descriptor: int
  times: int = 0


_held: dict[tuple[int, int], _Held] = {}
_guard = threading.Lock()


@contextlib.contextmanager
def writing(*folders: Path) -> Iterator[None]:
  """Holds folders that exist; what holds one already in this process may enter it again.

  The kernel frees them when the process ends, however it ends. Where the file system knows
  no locks a warning says so, and nothing is held.

  Raises:
    RunFolderError: another process writes to one; the message says which.
    OSError: one cannot be written to.
  """
  with contextlib.ExitStack() as stack:
    for folder in folders:
      place = _enter(folder)
      stack.callback(_leave, place)
    yield


def _enter(folder: Path) -> tuple[int, int]:
  status = os.stat(folder)
  place = status.st_dev, status.st_ino
  with _guard:
    held = _held.get(place) or _Held(_acquire(folder))
    _held[place] = held
    held.times += 1
  return place


def _leave(place: tuple[int, int]) -> None:
  with _guard:
    held = _held[place]
    held.times -= 1
    if not held.times:
      del _held[place]
      os.close(held.descriptor)


def _acquire(folder: Path) -> int:
  """Locks the file of a folder and writes down who holds it; returns the open file."""
  path = folder / NAME
  while True:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
      _lock(descriptor, folder)
      # Whoever gives a folder up may delete the file between these two lines.
      if _is(descriptor, path):
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor
    except BaseException:
      os.close(descriptor)
      raise
    os.close(descriptor)


def _is(descriptor: int, path: Path) -> bool:
  try:
    return os.path.samestat(os.fstat(descriptor), os.stat(path))
  except FileNotFoundError:
    return False


def _lock(descriptor: int, folder: Path) -> None:
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as error:
    if error.errno in TAKEN:
      owner = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
      raise RunFolderError(
        f"{folder} is being written to by process {owner or '(unknown)'}: wait until it ends, "
        "or end it."
      ) from error
    warnings.warn(
      f"{folder} is on a file system without locks ({error.strerror}): see to it that no other "
      "process writes there.",
      RuntimeWarning,
      stacklevel=5,
    )
