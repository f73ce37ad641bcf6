"""What a report says: runs found below folders, and what each of them holds."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments import plot, run_settings
from experiments.analysis import curves, run_summary
from experiments.command_line.cli import UsageError
from mbrl_jax.runtime.storage import audit
from mbrl_jax.runtime.storage.csv_log import EVALUATIONS
from mbrl_jax.runtime.storage.run_folder import RunFolder, RunFolderError, flat, read_versions

FIRST = ("learning_curve.png", "model_error.png")
"""Pictures that come before the others."""
PICTURES = 12
"""Pictures of one run at most: PETS may leave two for each trial."""
VIDEOS = (".mp4", ".gif")
IGNORED = ("env_fingerprint",)


class Item(NamedTuple):
  """One run.

  Attributes:
    name: its folder, as seen from the one that was given.
    folder: where it is.
    summary: what the table says.
    config: its ``config.json``, flat.
  """

  name: str
  folder: RunFolder
  summary: run_summary.Facts
  config: dict[str, Any]


class Difference(NamedTuple):
  """A field that is not what the preset says.

  Attributes:
    field: its dotted name.
    run: its value.
    preset: the preset's, or "(absent)".
  """

  field: str
  run: Any
  preset: Any


def find(paths: Sequence[str]) -> list[Item]:
  """Finds the runs below folders, or the folders that are runs themselves.

  Raises:
    UsageError: no such folder, or one without runs.
  """
  items: list[Item] = []
  for path in map(Path, paths):
    if not path.is_dir():
      raise UsageError(f"--runs={path}: there is no such folder.")
    found = [file.parent for file in sorted(path.rglob("config.json"))]
    runs = [folder for folder in found if _is_run(folder)]
    if not runs:
      raise UsageError(f"--runs={path}: there is no run in it, no folder with a config.json.")
    items += [_item(RunFolder(run), path) for run in runs]
  return list({item.folder.path.resolve(): item for item in items}.values())


def pictures(items: Sequence[Item], group: list[str]) -> dict[str, bytes]:
  """Draws the curves of each task; PNG files by task, without those not evaluated yet."""
  by_task: dict[str, curves.Groups] = {}
  for item in items:
    for curve in curves.read(item.folder):
      name = plot.label(item.folder, group) if group else item.name
      by_task.setdefault(curve.task, {}).setdefault(name, []).append(curve)
  drawn = {}
  with tempfile.TemporaryDirectory() as folder:
    for i, (task, groups) in enumerate(by_task.items()):
      drawn[task] = curves.draw(Path(folder) / f"{i}.png", groups).read_bytes()
  return drawn


def differences(folder: RunFolder) -> list[Difference] | None:
  """Lists what was decided otherwise than in the run's preset.

  Returns:
    ``None`` where algorithm, preset or task are not known here.
  """
  config = folder.config()
  try:
    preset = run_settings.make_settings(
      **{name: config[name] for name in ("algo", "env", "preset", "physics")},
      seed=config["seed"],
      seeds=config["seeds"],
      env_overrides={},
      config_overrides={},
    )
  except (UsageError, KeyError):
    return None
  own, usual = flat(config), flat(json.loads(json.dumps(preset)))
  return [
    Difference(name, value, usual.get(name, "(absent)"))
    for name, value in own.items()
    if name not in IGNORED and usual.get(name, "(absent)") != value
  ]


def plots(folder: RunFolder) -> tuple[list[Path], int]:
  """Returns the pictures of a run to show, and how many more there are."""
  found = sorted(folder.plots.glob("*.png")) if folder.plots.is_dir() else []
  found.sort(key=lambda path: FIRST.index(path.name) if path.name in FIRST else len(FIRST))
  return found[:PICTURES], max(0, len(found) - PICTURES)


def video(folder: RunFolder) -> Path | None:
  """Returns the newest video of a run."""
  found = folder.videos.iterdir() if folder.videos.is_dir() else ()
  found = [path for path in found if path.suffix in VIDEOS]
  return max(found, key=lambda path: path.stat().st_mtime, default=None)


def versions(items: Sequence[Item]) -> list[tuple[dict[str, Any], list[str]]]:
  """Returns each set of versions with the names of the runs that had it."""
  found: list[tuple[dict[str, Any], list[str]]] = []
  for item in items:
    own: dict[str, Any] = {"versions.json": "missing"}
    if (item.folder.path / "versions.json").exists():
      own = read_versions(item.folder)
    known = next((names for other, names in found if other == own), None)
    if known is None:
      known = []
      found.append((own, known))
    known.append(item.name)
  return found


def _is_run(folder: Path) -> bool:
  """Tells runs from other folders with a file of that name.

  Raises:
    RunFolderError: it is a run by what else lies there, but the file is damaged.
  """
  marks = [folder / name for name in ("versions.json", "metrics.csv", "checkpoints")]
  try:
    config = RunFolder(folder).config()
    if {"algo", "env", "config"} <= set(config):
      return True
    raise RunFolderError(f"{folder / 'config.json'} lacks algo, env or config.")
  except RunFolderError:
    if any(mark.exists() for mark in marks):
      raise
    return False


def _item(folder: RunFolder, root: Path) -> Item:
  audit.check(folder, "metrics.csv", EVALUATIONS)
  inside = folder.path.relative_to(root).as_posix()
  name = folder.path.resolve().name if inside == "." else inside
  return Item(name, folder, run_summary.of(folder), flat(folder.config()))
