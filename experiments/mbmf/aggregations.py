"""Reads the fits of a model stage and the rollouts of the planner between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mbrl_jax.runtime.rendering import plots
from mbrl_jax.runtime.rendering.figures import make_panels, save_figure
from mbrl_jax.runtime.storage.csv_log import Row, read_table

ROWS = "model/rows"
"""Column with the number of training points, which grows with every fit."""
LOSSES = {"model/loss_old": "random data", "model/loss_new": "planner's data"}
ERRORS = {"model/error_1": "1 step"} | {
  f"model/error_{k}": f"{k} steps" for k in (5, 10, 50, 100)
}
"""Columns of the losses after a fit and of validation errors, with their labels."""

Fit = tuple[float, float]
"""What tells fits apart: training points and loss."""


class Rollout(NamedTuple):
  """A rollout of the planner.

  Attributes:
    step: environment steps at its end.
    total: its return.
    fit: number of the model's fit, from 0.
    points: training points of this fit.
  """

  step: int
  total: float
  fit: int
  points: int


def rollouts(metrics: Path) -> list[Rollout]:
  """Reads the rollouts of a run with one seed and one environment, without random ones.

  A row reports the latest fit when its rollout ended. At the last step of a rollout that may
  be the next one already, so a rollout takes the fit of the row before, if that has one.
  Counted to the next fit are nevertheless the very first rollout, if it is alone before that
  fit, and, where several rollouts end in the last compiled call before a fit (25 steps), all
  but the first of these.

  Args:
    metrics: the run's ``metrics.csv``.

  Raises:
    RunFolderError: the table is damaged.
  """
  rows = read_table(metrics, ("return", "random")) if metrics.exists() else []
  found: list[Rollout] = []
  numbers: dict[Fit, int] = {}
  before: Fit | None = None
  for row in rows:
    fit = _fit_of(row) if before is None else before
    before = _fit_of(row) or before
    if row["random"] or fit is None:
      continue
    number = numbers.setdefault(fit, len(numbers))
    found.append(Rollout(int(row["step"]), row["return"], number, int(fit[0])))
  return found


def returns(metrics: Path) -> tuple[np.ndarray, np.ndarray]:
  """Returns training points and mean return of the planner's rollouts, for each fit ``[n]``."""
  found = rollouts(metrics)
  points = np.unique([each.points for each in found])
  means = [np.mean([each.total for each in found if each.points == n]) for n in points]
  return points.astype(float), np.array(means)


def fits(metrics: Path) -> list[Row]:
  """Returns a row of each fit: its training points, losses and validation errors."""
  rows = read_table(metrics) if metrics.exists() else []
  own = {fit: row for row in rows if (fit := _fit_of(row))}
  kept = (ROWS, *LOSSES, *ERRORS)
  return [{name: row[name] for name in kept if name in row} for row in own.values()]


def _fit_of(row: Row) -> Fit | None:
  """Returns the fit that a row reports; held-out rollouts alone add no training points."""
  return (row[ROWS], row.get("model/loss_old", 0.0)) if ROWS in row else None


def draw(path: Path, seeds: Sequence[Sequence[Row]], title: str) -> Path:
  """Draws losses and validation errors over fits, mean and deviation over seeds.

  Args:
    path: the PNG file.
    seeds: ``fits`` of each seed.
    title: of the figure.
  """
  figure, panels = make_panels(2, title)
  figure.set_size_inches(11, 4.2)
  kinds = (("loss after a fit", LOSSES), ("open-loop error, validation", ERRORS))
  for axes, (label, columns) in zip(panels, kinds, strict=True):
    for (column, name), colour in zip(columns.items(), plots.COLOURS, strict=False):
      plots.draw_curves(axes, _curves(seeds, column), name, colour, "o-")
    axes.set(xlabel="aggregation", ylabel=label)
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
    axes.set_xlim(-0.5, max(map(len, seeds), default=1) - 0.5)  # a single fit has no width
    if axes.lines:
      axes.set_yscale("log")
      axes.legend(frameon=False, fontsize="small")
  return save_figure(figure, panels[0], path)


def _curves(seeds: Sequence[Sequence[Row]], column: str) -> list[tuple[np.ndarray, np.ndarray]]:
  """Returns the positive values of a column over the number of the fit, for each seed."""
  found = []
  for rows in seeds:
    values = np.array([row.get(column, np.nan) for row in rows])
    kept = np.flatnonzero(values > 0)
    if len(kept):
      found.append((kept.astype(float), values[kept]))
  return found
