"""Verifies a run's files against the checksums in its newest checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.checkpoint import Checkpoints
from mbrl_jax.runtime.storage.csv_log import Table
from mbrl_jax.runtime.storage.episodes import Arrays
from mbrl_jax.runtime.storage.files import RunFolderError
from mbrl_jax.runtime.storage.journal import JSONLines, PrefixChecksum
from mbrl_jax.runtime.storage.rollouts import Rollouts
from mbrl_jax.runtime.storage.run_folder import RunFolder

PREFIX = "seals/"
"""Prefix of file names among a checkpoint's host arrays."""
READERS: dict[str, Callable[[Path, int, PrefixChecksum], Any]] = {
  ".csv": Table,
  ".jsonl": JSONLines,
  ".npz": Rollouts.load,
}


def to_host(checksums: Mapping[str, PrefixChecksum]) -> Arrays:
  """Returns checksums, by file name, as arrays for a checkpoint."""
  return {PREFIX + name: np.array(checksum, np.int64) for name, checksum in checksums.items()}


def from_host(host: Arrays) -> dict[str, PrefixChecksum]:
  """Returns the checksums in a checkpoint; empty for checkpoints of earlier versions."""
  return {
    name.removeprefix(PREFIX): PrefixChecksum(*map(int, checksum))
    for name, checksum in host.items()
    if name.startswith(PREFIX)
  }


def check(folder: RunFolder, *names: str) -> None:
  """Checks ``config.json`` and other files against the newest checkpoint, if there is one.

  Args:
    folder: of the run; rows after the checkpoint are not checked.
    names: tables and rollout files to check; none: all.

  Raises:
    RunFolderError: a file was changed, or is damaged or missing; names it.
  """
  steps = Checkpoints(folder.checkpoints).steps()
  if not steps:
    return
  path = folder.checkpoints / f"{steps[-1]:08d}" / "host.npz"
  try:
    host = files.read_npz(path)
  except FileNotFoundError as error:
    raise RunFolderError(f"{path} is missing: the newest checkpoint is damaged.") from error
  folder.check_config_of(host)
  checksums = from_host(host)
  for name in names or checksums:
    if name in checksums:
      READERS[Path(name).suffix](folder.path / name, steps[-1], checksums[name])
