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
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any, NamedTuple

import jax

from mbrl_jax.runtime import files

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


class RunFolderError(RuntimeError):
  """A folder that cannot be used as asked; the message says what to do."""


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
    """Reads ``config.json``."""
    return _read_json(self.path / "config.json")


def create(path: Path | str, config: dict[str, Any]) -> RunFolder:
  """Creates the folder of a new run with its ``config.json`` and ``versions.json``.

  Raises:
    RunFolderError: ``path`` is a file, or holds anything already.
  """
  path = Path(path)
  if path.exists() and not path.is_dir():
    raise RunFolderError(f"{path} is a file; a run needs a folder.")
  if path.exists() and any(path.iterdir()):
    what = "holds a run" if (path / "config.json").is_file() else "is not empty"
    raise RunFolderError(
      f"{path} {what} and nothing is overwritten. Add --resume to continue that run, "
      "or choose another --logdir."
    )
  path.mkdir(parents=True, exist_ok=True)
  folder = RunFolder(path)
  write_versions(folder)
  files.write_json(path / "config.json", config)
  return folder


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


def check_config(folder: RunFolder, config: dict[str, Any]) -> None:
  """Checks that a run is resumed with the config it was started with.

  Raises:
    RunFolderError: names each field that differs, with both values.
  """
  old, new = flat(folder.config()), flat(json.loads(json.dumps(config)))
  missing = "(absent)"
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


def _read_json(path: Path) -> dict[str, Any]:
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise RunFolderError(f"{path} cannot be read: {error}") from error
