"""Creates and opens the folder of one training run.

Layout::

  config.json     all settings: algorithm, task, seeds, config
  versions.json   package versions, kind of machine
  metrics.csv, metrics.jsonl   one row per episode, equal for equal seeds
  timing.csv      seconds and rates of the same rows
  evaluations.csv one row per evaluation, if the run counts them in steps
  tensorboard/    metrics and timing for TensorBoard
  checkpoints/    see ``checkpoint``
  logs.npz, logs.mat           rollouts, see ``rollouts``
  predictions/    every particle's prediction, if the planner reports them
  plots/, videos/
  .lock           held by the writing process, see ``lock``

A folder with a ``config.json`` is a run and can be resumed. That file is written first and
atomically, so a folder without it holds no part of a run.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mbrl_jax.runtime.storage import config_file, files, lock
from mbrl_jax.runtime.storage.checkpoint import Checkpoints
from mbrl_jax.runtime.storage.files import RunFolderError
from mbrl_jax.runtime.storage.package_versions import versions

CONFIG_CRC, CONFIG_GROWS = "config_crc", "config_grows"
"""Names of ``RunFolder.config_crc`` and of its argument in a checkpoint."""
LEFTOVERS = ".config.json.*.tmp"
"""Leftovers of a killed process that was writing ``config.json``."""


class RunFolder(NamedTuple):
  """Paths of the parts of a run.

  Attributes:
    path: the folder.
  """

  path: Path

  @property
  def checkpoints(self) -> Path:
    """Folder of the numbered checkpoints."""
    return self.path / "checkpoints"

  @property
  def plots(self) -> Path:
    """Folder of the plots."""
    return self.path / "plots"

  @property
  def videos(self) -> Path:
    """Folder of the videos."""
    return self.path / "videos"

  @property
  def predictions(self) -> Path:
    """Folder of the particles' predictions."""
    return self.path / "predictions"

  @property
  def metrics(self) -> Path:
    """The table of episodes."""
    return self.path / "metrics.csv"

  def logs(self, seed: int | None = None) -> Path:
    """Returns the path of the rollouts without suffix, one for each of several seeds."""
    return self.path / ("logs" if seed is None else f"logs_seed{seed}")

  def config(self) -> dict[str, Any]:
    """Reads ``config.json``.

    Raises:
      RunFolderError: it is damaged, or a field has an invalid value; names the field.
    """
    return config_file.read(self.path / "config.json")

  def check_config_of(self, host: Mapping[str, np.ndarray]) -> None:
    """Checks that ``config.json`` has not changed since a checkpoint, except the run's length.

    Args:
      host: arrays of the checkpoint; those of earlier versions hold no checksum.

    Raises:
      RunFolderError: it was changed.
    """
    now = self.config_crc(str(host.get(CONFIG_GROWS, "")))
    if int(host.get(CONFIG_CRC, now)) != now:
      raise RunFolderError(
        f"{self.path / 'config.json'} was changed after the checkpoint was saved: restore the "
        "old file."
      )

  def config_crc(self, grows: str = "") -> int:
    """Returns a checksum of the fields of ``config.json``.

    Args:
      grows: the field with the run's length, such as ``config.steps``; it is left out because
        it may grow.
    """
    fields = {name: x for name, x in flat(self.config()).items() if name != grows}
    return zlib.crc32(json.dumps(fields, sort_keys=True).encode())


def create(path: Path | str, config: dict[str, Any]) -> RunFolder:
  """Creates the folder of a new run with its ``config.json`` and ``versions.json``.

  Raises:
    RunFolderError: ``path`` is a file, is not empty (except for leftovers of a killed call),
      or another process writes there.
    OSError: for example a full disk; no part of the run is left.
  """
  path = Path(path)
  check_free(path)
  existed, folder = path.exists(), RunFolder(path)
  path.mkdir(parents=True, exist_ok=True)
  with lock.writing(path):
    check_free(path)  # again, because another process may have been faster
    try:
      for leftover in path.glob(LEFTOVERS):
        leftover.unlink()
      files.write_json(path / "config.json", config)
      files.sync(path.absolute().parent)
      write_versions(folder)
    except BaseException:  # for example a full disk
      discard_unused(folder, keep=existed)
      raise
  return folder


@contextlib.contextmanager
def new_run(path: Path | str, config: dict[str, Any]) -> Iterator[RunFolder]:
  """Creates a run, see ``create``, and locks it for writing.

  An exception before anything is stored deletes the folder again.
  """
  existed = Path(path).exists()
  folder = create(path, config)
  with lock.writing(folder.path):
    try:
      yield folder
    except BaseException:
      discard_unused(folder, keep=existed)
      raise


def discard_unused(folder: RunFolder, keep: bool = False) -> None:
  """Deletes a run without stored results; ``keep``: keeps the empty folder."""
  if folder.metrics.exists() or Checkpoints(folder.checkpoints).steps():
    return
  for path in folder.path.iterdir():
    if path.is_dir() and not path.is_symlink():
      shutil.rmtree(path)
    else:
      path.unlink()
  if not keep:
    folder.path.rmdir()


def write_versions(folder: RunFolder) -> None:
  """Writes ``versions.json`` with the versions of this process."""
  files.write_json(folder.path / "versions.json", versions())


def open_run(path: Path | str) -> RunFolder:
  """Opens the folder of an existing run.

  Raises:
    RunFolderError: the folder does not exist, or is not a run.
  """
  path = Path(path)
  if not path.is_dir():
    raise RunFolderError(f"There is no folder {path}.")
  if not (path / "config.json").is_file():
    raise RunFolderError(f"{path} is not the folder of a run: it has no config.json.")
  return RunFolder(path)


def check_free(path: Path) -> None:
  """Checks that a run can be created in ``path``.

  Raises:
    RunFolderError: it is a file, or holds anything but leftovers of a killed ``create``.
  """
  if (path.exists() or path.is_symlink()) and not path.is_dir():
    raise RunFolderError(f"{path} is a file; a run needs a folder.")
  if (path / "config.json").exists():
    raise RunFolderError(
      f"{path} already holds a run, which is not overwritten. Add --resume to continue it, or "
      "choose another --logdir."
    )
  known = [lock.NAME, *(leftover.name for leftover in path.glob(LEFTOVERS))]
  foreign = (
    sorted(p.name for p in path.iterdir() if p.name not in known) if path.exists() else []
  )
  if foreign:
    raise RunFolderError(
      f"{path} is not empty and not a run: it contains {foreign[0]!r}, but no config.json. "
      "Delete its contents, or choose another --logdir."
    )


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  """Flattens a nested dictionary to ``{"planner.samples": 400}``.

  Example:
    >>> from mbrl_jax.runtime.storage.run_folder import flat
    >>> flat({"seed": 1, "planner": {"samples": 400}})
    {'seed': 1, 'planner.samples': 400}
  """
  fields: dict[str, Any] = {}
  for name, value in config.items():
    if isinstance(value, dict):
      fields |= flat(value, f"{prefix}{name}.")
    else:
      fields[prefix + name] = value
  return fields


def read_versions(folder: RunFolder) -> dict[str, Any]:
  """Reads ``versions.json``.

  Raises:
    RunFolderError: it is missing or damaged.
  """
  path = folder.path / "versions.json"
  found = config_file.read_json(path)
  if not isinstance(found.get("packages"), dict):
    raise RunFolderError(f"{path}: packages is not an object.")
  return found
