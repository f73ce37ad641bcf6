"""Keeps named arrays in a folder, written by orbax, whatever the folder is called."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp

from mbrl_jax.runtime.storage.pytree_io import Leaves


def save(folder: Path, arrays: Leaves) -> None:
  """Writes arrays, none of them empty, into ``folder``, which must not exist."""
  with _harmless(folder.parent) as parent:
    _checkpointer().save(parent / folder.name, arrays)


def load(folder: Path, names: list[str], partial: bool = False) -> Leaves:
  """Reads arrays by name.

  Args:
    folder: as ``save`` wrote it.
    names: of the arrays.
    partial: there may be others.

  Raises:
    Exception: an array is missing or damaged; the kind is orbax' choice.
  """
  as_numpy = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in names}
  item = dict.fromkeys(names, 0)
  arguments = ocp.args.PyTreeRestore(restore_args=as_numpy, item=item, partial_restore=partial)
  with _harmless(folder.parent) as parent:
    found = _checkpointer().restore(parent / folder.name, args=arguments)
  return {name: np.asarray(array) for name, array in found.items()}


def _checkpointer() -> ocp.Checkpointer:
  return ocp.Checkpointer(ocp.PyTreeCheckpointHandler())


@contextlib.contextmanager
def _harmless(folder: Path) -> Iterator[Path]:
  r"""Yields a path to an existing folder in which no character means anything.

  Orbax takes ``[``, ``*`` and ``\`` anywhere in a path for a pattern, ``gs:/`` for a bucket,
  and encodes it as UTF-8. Linux names an open folder by a number; elsewhere the path stays
  as it is, and reading back what was saved tells whether it will do.
  """
  descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
  try:
    numbered = Path(f"/proc/self/fd/{descriptor}")
    yield numbered if numbered.is_dir() else folder
  finally:
    os.close(descriptor)
