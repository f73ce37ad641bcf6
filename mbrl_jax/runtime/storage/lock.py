"""Locks folders, so that only one process at a time writes to each."""

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
"""Lock file in the folder; it is never deleted, and locked only while a process holds it."""
TAKEN = (errno.EAGAIN, errno.EACCES)


@dataclasses.dataclass
class _Held:
  """A folder that this process has locked: its open file and the number of users."""

  descriptor: int
  count: int = 0


_held: dict[tuple[int, int], _Held] = {}
_guard = threading.Lock()


@contextlib.contextmanager
def writing(*folders: Path) -> Iterator[None]:
  """Locks existing folders for writing; the same process may lock a folder several times.

  The kernel releases the locks when the process ends, however it ends. On a file system without
  locks a warning is issued and nothing is locked.

  Raises:
    RunFolderError: another process writes to one of them; names the process.
    OSError: one of them is not writable.
  """
  with contextlib.ExitStack() as stack:
    for folder in folders:
      identity = _enter(folder)
      stack.callback(_leave, identity)
    yield


def _enter(folder: Path) -> tuple[int, int]:
  """Locks a folder; returns its device and inode."""
  status = os.stat(folder)
  identity = status.st_dev, status.st_ino
  with _guard:
    held = _held.get(identity) or _Held(_acquire(folder))
    _held[identity] = held
    held.count += 1
  return identity


def _leave(identity: tuple[int, int]) -> None:
  """Unlocks a folder after its last user."""
  with _guard:
    held = _held[identity]
    held.count -= 1
    if not held.count:
      del _held[identity]
      os.close(held.descriptor)


def _acquire(folder: Path) -> int:
  """Locks a folder's lock file and writes the process id to it; returns the open file."""
  path = folder / NAME
  while True:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
      _lock(descriptor, folder)
      # The previous owner may delete the folder before this process gets the lock.
      if _is_file(descriptor, path):
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor
    except BaseException:
      os.close(descriptor)
      raise
    os.close(descriptor)


def _is_file(descriptor: int, path: Path) -> bool:
  """Returns whether ``path`` still is the open file."""
  try:
    return os.path.samestat(os.fstat(descriptor), os.stat(path))
  except FileNotFoundError:
    return False


def _lock(descriptor: int, folder: Path) -> None:
  """Locks an open file without waiting."""
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as error:
    if error.errno in TAKEN:
      owner = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
      raise RunFolderError(
        f"{folder} is being written to by process {owner or '(unknown)'}: wait until it ends, "
        "or terminate it."
      ) from error
    warnings.warn(
      f"{folder} is on a file system without locks ({error.strerror}): make sure that no other "
      "process writes there.",
      RuntimeWarning,
      stacklevel=5,
    )
