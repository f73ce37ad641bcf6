"""Names, creates and reads back the folder of one training run.

Layout::

  config.json     everything that was decided: algorithm, task, seeds, config
  versions.json   versions of the packages, kind of machine
  metrics.csv, metrics.jsonl   one row an episode, equal for equal seeds
  timing.csv      seconds and rates of the same rows
  evaluations.csv one row an evaluation, where they are counted in steps
  tensorboard/    both, for TensorBoard
  checkpoints/    see ``runtime.checkpoint``
  logs.npz, logs.mat           the rollouts, see ``runtime.rollouts``
  predictions/    every particle's prediction, where a planner was asked for it
  plots/, videos/
  .lock           held by the process that writes, see ``runtime.lock``

A folder with a ``config.json`` is a run, and can be resumed. That file comes first and at
once, so a folder in which it is missing holds nothing of one.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import shutil
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from mbrl_jax.runtime.storage import config_file, files, lock
from mbrl_jax.runtime.storage.checkpoint import Checkpoints
from mbrl_jax.runtime.storage.files import RunFolderError

PACKAGES = [
  "mbrl-jax",
  "jax",
  "jaxlib",
  "flax",
  "optax",
  "orbax-checkpoint",
  "chex",
  "numpy",
  "scipy",
  "mujoco",
  "mujoco-mjx",
  "brax",
  "matplotlib",
  "tensorboardX",
  "mediapy",
  "rich",
  "ml_collections",
  "absl-py",
]


CONFIG_CRC, CONFIG_GROWS = "config_crc", "config_grows"
"""Names under which a checkpoint remembers ``RunFolder.config_crc``, and its argument."""
LEFTOVERS = ".config.json.*.tmp"
"""What a process that was killed leaves of a ``config.json``."""


class RunFolder(NamedTuple):
  """Where the parts of a run lie.

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
    """Folder of the pictures."""
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
    """Path of the rollouts without suffix; one for each seed of several."""
    return self.path / ("logs" if seed is None else f"logs_seed{seed}")

  def config(self) -> dict[str, Any]:
    """Reads ``config.json``.

    Raises:
      RunFolderError: it is damaged, or a field cannot be what it is; names it.
    """
    return config_file.read(self.path / "config.json")

  def check_config_of(self, host: Mapping[str, np.ndarray]) -> None:
    """Checks that ``config.json`` is as it was when a checkpoint was saved, or longer.

    Args:
      host: of the checkpoint; an earlier version's does not remember it.

    Raises:
      RunFolderError: it was changed.
    """
    now = self.config_crc(str(host.get(CONFIG_GROWS, "")))
    if int(host.get(CONFIG_CRC, now)) != now:
      raise RunFolderError(
        f"{self.path / 'config.json'} is not what it was when the checkpoint was saved: put "
        "the old one back."
      )

  def config_crc(self, grows: str = "") -> int:
    """Returns a checksum of what ``config.json`` says.

    Args:
      grows: the field that says how long the run is, such as ``config.steps``: it may have
        grown since, and does not count.
    """
    fields = {name: x for name, x in flat(self.config()).items() if name != grows}
    return zlib.crc32(json.dumps(fields, sort_keys=True).encode())


def create(path: Path | str, config: dict[str, Any]) -> RunFolder:
  """Creates the folder of a new run with its ``config.json`` and ``versions.json``.

  Raises:
    RunFolderError: ``path`` is a file, or holds anything already but what a call that was
      killed may have left; or another process writes there.
    OSError: the disk is full, say; nothing is left of the run.
  """
  path = Path(path)
  check_free(path)
  existed, folder = path.exists(), RunFolder(path)
  path.mkdir(parents=True, exist_ok=True)
  with lock.writing(path):
    check_free(path)  # before the lock somebody else may have been here
    try:
      for leftover in path.glob(LEFTOVERS):
        leftover.unlink()
      files.write_json(path / "config.json", config)
      files.sync(path.absolute().parent)
      write_versions(folder)
    except BaseException:  # such as of a full disk
      discard_unused(folder, keep=existed)
      raise
  return folder


@contextlib.contextmanager
def new_run(path: Path | str, config: dict[str, Any]) -> Iterator[RunFolder]:
  """Creates a run, see ``create``, and holds it for one writer.

  An exception that ends it before anything is stored takes the folder away again.
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
  """Deletes a run of which nothing is stored yet, perhaps but for the folder itself."""
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
  """Writes ``versions.json`` of this process: where the run begins."""
  files.write_json(folder.path / "versions.json", versions())


def open_run(path: Path | str) -> RunFolder:
  """Opens the folder of an existing run.

  Raises:
    RunFolderError: there is no such folder, or it is not a run.
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
    RunFolderError: it is a file, or holds anything but what a killed ``create`` leaves.
  """
  if (path.exists() or path.is_symlink()) and not path.is_dir():
    raise RunFolderError(f"{path} is a file; a run needs a folder.")
  if (path / "config.json").exists():
    raise RunFolderError(
      f"{path} holds a run and nothing is overwritten. Add --resume to continue that run, or "
      "choose another --logdir."
    )
  ours = [lock.NAME, *(leftover.name for leftover in path.glob(LEFTOVERS))]
  foreign = (
    sorted(p.name for p in path.iterdir() if p.name not in ours) if path.exists() else []
  )
  if foreign:
    raise RunFolderError(
      f"{path} is not empty and nothing is overwritten: there is {foreign[0]!r}, but no "
      "config.json, so it is not a run. Delete what is in it, or choose another --logdir."
    )


def check_config(folder: RunFolder, config: dict[str, Any], grows: str = "") -> None:
  """Checks that a run is resumed with the config it was started with.

  Args:
    folder: of the run.
    config: with which it is to be resumed.
    grows: the field that says how long the run is, such as ``config.steps``; it may be more
      than before.

  Raises:
    RunFolderError: names each field that differs, with both values.
  """
  old, new = flat(folder.config()), flat(json.loads(json.dumps(config)))
  missing = "(absent)"
  if grows in old and grows in new:
    if new[grows] < old[grows]:
      raise RunFolderError(
        f"--{grows}={new[grows]} is below the {old[grows]} of the run in {folder.path}: a run "
        "can be extended, not cut short."
      )
    old[grows] = new[grows]
  lines = [
    f"{name}: the run has {old.get(name, missing)!r}, asked for {new.get(name, missing)!r}"
    for name in [*old, *(n for n in new if n not in old)]
    if old.get(name, missing) != new.get(name, missing)
  ]
  if lines:
    listing = "\n  ".join(lines)
    raise RunFolderError(
      f"The run in {folder.path} was started with another config:\n  {listing}\n"
      "Resume it with its own, or start a new run in another --logdir."
    )


def extend(
  folder: RunFolder, config: dict[str, Any], grows: str, step: int | None = None
) -> None:
  """Writes down how long a run is now, which ``check_config`` has let pass.

  Args:
    folder: of the run.
    config: with which it goes on.
    grows: the field that says how long it is.
    step: of the checkpoint from which it does; ``None``: the newest.

  Raises:
    RunFolderError: its seeds ended after different numbers of steps.
  """
  stored, length = folder.config(), flat(config)[grows]
  if flat(stored)[grows] == length:
    return
  checkpoints = Checkpoints(folder.checkpoints)
  steps = checkpoints.leaf("steps", step).tolist() if checkpoints.steps() else 0
  if isinstance(steps, list) and len(set(steps)) > 1:
    raise RunFolderError(
      f"The seeds in {folder.path} ended after different steps, {steps}, because episodes end "
      "early: such a run cannot be extended."
    )
  *parts, last = grows.split(".")
  branch = stored
  for part in parts:
    branch = branch[part]
  branch[last] = length
  files.write_json(folder.path / "config.json", stored)


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  """Returns a nested dictionary as ``{"planner.samples": 400}``."""
  fields = {}
  for name, value in config.items():
    if isinstance(value, dict):
      fields |= flat(value, f"{prefix}{name}.")
    else:
      fields[prefix + name] = value
  return fields


def versions() -> dict[str, Any]:
  """Returns package versions and the kind of machine; no host or user name, no path."""
  packages = {}
  for name in PACKAGES:
    try:
      packages[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      packages[name] = None
  return {
    "python": platform.python_version(),
    "packages": packages,
    "system": platform.system(),
    "machine": platform.machine(),
    "processors": os.cpu_count(),
    "backend": jax.default_backend(),
    "devices": [device.device_kind for device in jax.devices()],
  }


def read_versions(folder: RunFolder) -> dict[str, Any]:
  """Reads ``versions.json``.

  Raises:
    RunFolderError: it is missing or damaged.
  """
  path = folder.path / "versions.json"
  found = config_file.read_json(path)
  if not isinstance(found.get("packages"), dict):
    raise RunFolderError(f"{path}: packages is not a table.")
  return found
