"""What a checkpoint remembers of the other files of a run, and whether they are still so."""

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
from mbrl_jax.runtime.storage.journal import JSONLines, Seal
from mbrl_jax.runtime.storage.rollouts import Rollouts
from mbrl_jax.runtime.storage.run_folder import RunFolder

PREFIX = "seals/"
"""Before the names of files among a checkpoint's arrays."""
READERS: dict[str, Callable[[Path, int, Seal], Any]] = {
  ".csv": Table,
  ".jsonl": JSONLines,
  ".npz": Rollouts.load,
}


def to_host(seals: Mapping[str, Seal]) -> Arrays:
  """Returns seals, by name of the file, as arrays for a checkpoint."""
  return {PREFIX + name: np.array(seal, np.int64) for name, seal in seals.items()}


def from_host(host: Arrays) -> dict[str, Seal]:
  """Returns the seals in a checkpoint; none in those of earlier versions."""
  return {
    name.removeprefix(PREFIX): Seal(*map(int, seal))
    for name, seal in host.items()
    if name.startswith(PREFIX)
  }


def check(folder: RunFolder, *names: str) -> None:
  """Checks ``config.json`` and other files against the newest checkpoint, if there is one.

  Args:
    folder: of the run; rows that came after the checkpoint are not looked at.
    names: of tables and of files of rollouts; none: all.

  Raises:
    RunFolderError: one was changed, or is damaged or missing; names it.
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
  seals = from_host(host)
  for name in names or seals:
    if name in seals:
      READERS[Path(name).suffix](folder.path / name, steps[-1], seals[name])
