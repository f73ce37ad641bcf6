"""Stores named arrays in a folder with orbax; the folder may have any name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp

from mbrl_jax.runtime.storage.pytree_io import Leaves


def save(folder: Path, arrays: Leaves) -> None:
  """Writes non-empty arrays to ``folder``, which must not exist."""
  with _plain_path(folder.parent) as parent:
    _checkpointer().save(parent / folder.name, arrays)


def load(folder: Path, names: list[str], partial: bool = False) -> Leaves:
  """Reads arrays by name.

  Args:
    folder: written by ``save``.
    names: of the arrays.
    partial: whether the folder may hold other arrays as well.

  Raises:
    Exception: an array is missing or damaged; orbax chooses the type.
  """
  as_numpy = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in names}
  item = dict.fromkeys(names, 0)
  arguments = ocp.args.PyTreeRestore(restore_args=as_numpy, item=item, partial_restore=partial)
  with _plain_path(folder.parent) as parent:
    found = _checkpointer().restore(parent / folder.name, args=arguments)
  return {name: np.asarray(array) for name, array in found.items()}


def _checkpointer() -> ocp.Checkpointer:
  return ocp.Checkpointer(ocp.PyTreeCheckpointHandler())


@contextlib.contextmanager
def _plain_path(folder: Path) -> Iterator[Path]:
  r"""Yields a path to an existing folder without special characters.

  Orbax interprets ``[``, ``*`` and ``\`` anywhere in a path as a pattern and ``gs:/`` as a
  bucket, and encodes the path as UTF-8. On Linux an open folder has a numeric path; elsewhere
  the path is unchanged, and reading a checkpoint back after saving detects a failure.
  """
  descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
  try:
    numbered = Path(f"/proc/self/fd/{descriptor}")
    yield numbered if numbered.is_dir() else folder
  finally:
    os.close(descriptor)
