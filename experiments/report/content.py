"""Collects the content of a report: runs below folders, their curves, plots and videos."""

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

FIRST = ("learning_curve.png", "training.png", "model_error.png")
"""Plots that come first."""
PICTURES = 12
"""Maximum plots of one run: PETS may write two for each trial."""
VIDEOS = (".mp4", ".gif")
IGNORED = ("env_fingerprint",)


class Item(NamedTuple):
  """One run.

  Attributes:
    name: path of its folder relative to the searched one.
    folder: its run folder.
    summary: its row of the table.
    config: its ``config.json``, flattened to dotted names.
  """

  name: str
  folder: RunFolder
  summary: run_summary.RunSummary
  config: dict[str, Any]


class Difference(NamedTuple):
  """A field whose value differs from the preset.

  Attributes:
    field: its dotted name.
    run: the value of the run.
    preset: the value of the preset, or "(absent)".
  """

  field: str
  run: Any
  preset: Any


def find(paths: Sequence[str]) -> list[Item]:
  """Finds the runs in folders, recursively; a folder may be a run itself.

  Raises:
    UsageError: a folder does not exist or contains no run.
  """
  items: list[Item] = []
  for path in map(Path, paths):
    if not path.is_dir():
      raise UsageError(f"--runs={path} is not a folder.")
    found = [file.parent for file in sorted(path.rglob("config.json"))]
    runs = [folder for folder in found if _is_run(folder)]
    if not runs:
      raise UsageError(f"--runs={path} contains no run (a folder with a config.json).")
    items += [_item(RunFolder(run), path) for run in runs]
  return list({item.folder.path.resolve(): item for item in items}.values())


def extras(paths: Sequence[str]) -> list[Path]:
  """Lists the pictures in the searched folders themselves, such as those of a sweep."""
  return [file for path in map(Path, paths) for file in sorted(path.glob("*.png"))]


def pictures(items: Sequence[Item], group: list[str]) -> dict[str, bytes]:
  """Draws the curves of each task; returns PNG data by task, for tasks with evaluations."""
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
  """Lists the fields of a run that differ from its preset.

  Returns:
    ``None`` if this version does not know the algorithm, preset or task.
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
  """Returns the first plots of a run and the number of those left out."""
  found = sorted(folder.plots.glob("*.png")) if folder.plots.is_dir() else []
  found.sort(key=lambda path: FIRST.index(path.name) if path.name in FIRST else len(FIRST))
  return found[:PICTURES], max(0, len(found) - PICTURES)


def video(folder: RunFolder) -> Path | None:
  """Returns the newest video of a run."""
  found = folder.videos.iterdir() if folder.videos.is_dir() else ()
  found = [path for path in found if path.suffix in VIDEOS]
  return max(found, key=lambda path: path.stat().st_mtime, default=None)


def versions(items: Sequence[Item]) -> list[tuple[dict[str, Any], list[str]]]:
  """Returns each distinct set of versions with the names of its runs."""
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
  """Returns whether a folder with a ``config.json`` is a run.

  Raises:
    RunFolderError: other files of a run exist, but ``config.json`` is damaged.
  """
  marks = [folder / name for name in ("versions.json", "metrics.csv", "checkpoints")]
  try:
    config = RunFolder(folder).config()
    if {"algo", "env", "config"} <= set(config):
      return True
    raise RunFolderError(f"{folder / 'config.json'} has no algo, env or config.")
  except RunFolderError:
    if any(mark.exists() for mark in marks):
      raise
    return False


def _item(folder: RunFolder, root: Path) -> Item:
  audit.check(folder, "metrics.csv", EVALUATIONS)
  inside = folder.path.relative_to(root).as_posix()
  name = folder.path.resolve().name if inside == "." else inside
  return Item(name, folder, run_summary.summarise(folder), flat(folder.config()))
