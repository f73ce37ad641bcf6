"""Compares model-based, hybrid and model-free: returns over environment steps.

The model-based curve has a point for each fit: the mean return of the planner's rollouts over
the training points of the model. The others have one for each batch of TRPO, the mean return of
the episodes that ended in it. The hybrid's curve begins after the steps that its policy has
already cost: the model's training points, the planner's rollouts that were imitated and the
steps of DAgger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rich.table

from experiments.analysis.statistics import first_reached
from experiments.command_line import outputs
from experiments.mbmf import aggregations
from mbrl_jax.runtime.rendering import plots
from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.csv_log import read_table
from mbrl_jax.runtime.storage.run_folder import RunFolder

MODEL_BASED, HYBRID, MODEL_FREE = "model-based", "hybrid", "model-free"
SHARES = (0.25, 0.5, 0.75, 0.9, 1.0)
"""Shares of the best return that both TRPO runs reach."""
COLUMNS = ("curve", "seed", "step", "return")
SPEED_UP = ("return", "hybrid_steps", "model_free_steps", "speed_up")

Curve = tuple[np.ndarray, np.ndarray]


class Labelled(NamedTuple):
  """The curve of one seed.

  Attributes:
    label: ``MODEL_BASED``, ``HYBRID`` or ``MODEL_FREE``.
    seed: the seed.
    steps: environment steps ``[n]``, increasing.
    values: mean returns ``[n]``.
  """

  label: str
  seed: int
  steps: np.ndarray
  values: np.ndarray


def read(seeds: Mapping[int, Path]) -> list[Labelled]:
  """Reads the curves of all stages that have results.

  Args:
    seeds: the folder of each seed.

  Raises:
    RunFolderError: a file is damaged.
  """
  found = []
  for seed, folder in seeds.items():
    curves = {
      MODEL_BASED: aggregations.returns(folder / "model" / "metrics.csv"),
      HYBRID: _batches(folder / "hybrid", steps_before(folder)),
      MODEL_FREE: _batches(folder / "model_free"),
    }
    found += [Labelled(label, seed, *curve) for label, curve in curves.items() if len(curve[0])]
  return sorted(found, key=lambda each: list(curves).index(each.label))


def steps_before(folder: Path) -> int:
  """Returns the environment steps that a seed's imitated policy has cost."""
  fits = aggregations.fits(folder / "model" / "metrics.csv")
  points = fits[-1][aggregations.ROWS] if fits else 0
  path, imitation = folder / "rollouts.npz", RunFolder(folder / "imitation")
  kept = len(files.read_npz(path)["reward"]) if path.exists() else 0
  # Rows of the table end with episodes, the stage in mid-episode.
  steps = imitation.config()["config"]["steps"] if imitation.path.exists() else 0
  return int(points) + kept + steps


def draw(path: Path, curves: Sequence[Labelled], title: str) -> Path:
  """Draws mean and standard deviation over seeds, on a logarithmic axis of steps."""
  return plots.comparison(path, _groups(curves), "return of an episode", title, log_steps=True)


def write(path: Path, curves: Sequence[Labelled]) -> Path:
  """Writes all points as a CSV file."""
  rows = [
    dict(zip(COLUMNS, (c.label, c.seed, f"{step:.0f}", f"{value:.6g}"), strict=True))
    for c in curves
    for step, value in zip(c.steps, c.values, strict=True)
  ]
  return outputs.write_csv(path, COLUMNS, rows)


def speed_up(curves: Sequence[Labelled]) -> list[dict[str, Any]]:
  """Returns the steps to equal returns of hybrid and model-free, and their ratio.

  The returns are ``SHARES`` of the way from the worst mean return of model-free to the best
  that both reach. Empty unless both have results.
  """
  groups = _groups(curves)
  means = [mean_curve(groups.get(label, [])) for label in (HYBRID, MODEL_FREE)]
  if not all(len(steps) for steps, _ in means):
    return []
  low, high = means[1][1].min(), min(values.max() for _, values in means)
  rows = []
  for share in SHARES if high > low else ():
    wanted = min(low + share * (high - low), high)  # rounding must not exceed the best
    ours, theirs = (first_reached(*curve, wanted) for curve in means)
    rows.append(dict(zip(SPEED_UP, (wanted, ours, theirs, theirs / ours), strict=True)))
  return rows


def show(rows: Sequence[Mapping[str, Any]]) -> rich.table.Table:
  """Returns the rows of ``speed_up`` as a table for the terminal."""
  table = rich.table.Table(title="environment steps to equal returns", title_justify="left")
  for name in SPEED_UP:
    table.add_column(name.replace("_", " "), justify="right")
  for row in formatted(rows):
    table.add_row(*row.values())
  return table


def formatted(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
  """Formats the rows of ``speed_up``."""
  formats = dict(zip(SPEED_UP, (".1f", ".0f", ".0f", ".2f"), strict=True))
  return [{name: format(row[name], formats[name]) for name in SPEED_UP} for row in rows]


def mean_curve(group: Sequence[Curve]) -> Curve:
  """Returns the mean of curves at the steps that all of them cover, perhaps none."""
  if not group:
    return np.zeros(0), np.zeros(0)
  grid = np.unique(np.concatenate([steps for steps, _ in group]))
  start, end = max(steps[0] for steps, _ in group), min(steps[-1] for steps, _ in group)
  grid = grid[(grid >= start) & (grid <= end)]
  return grid, np.mean([np.interp(grid, *curve) for curve in group], axis=0)


def _batches(path: Path, before: int = 0) -> Curve:
  """Returns the end of each batch of TRPO, plus ``before``, and its mean return ``[n]``."""
  folder = RunFolder(path)
  if not folder.metrics.exists():
    return np.zeros(0), np.zeros(0)
  rows = read_table(folder.metrics, ("return",))
  batch = folder.config()["config"].get("batch", 1)
  ends = -(-np.array([row["step"] for row in rows]) // batch) * batch
  steps, index = np.unique(ends, return_inverse=True)
  sums = np.bincount(index, [row["return"] for row in rows])
  return steps + before, sums / np.bincount(index)


def _groups(curves: Sequence[Labelled]) -> plots.Curves:
  groups: plots.Curves = {}
  for each in curves:
    groups.setdefault(each.label, []).append((each.steps, each.values))
  return groups
