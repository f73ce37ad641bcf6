"""Plots what a run reports while it trains: one panel per quantity, over environment steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from mbrl_jax.runtime.rendering.figures import COLOURS, make_panels, write_figure
from mbrl_jax.runtime.rendering.plots import curves, draw_curves, mean_over_envs
from mbrl_jax.runtime.storage.csv_log import Row

Curve = tuple[np.ndarray, np.ndarray]

RECENT = 20
"""Episodes of the moving average that shows the success rate."""
POINTS = 300
"""Maximum points of a drawn curve; of more, neighbours are averaged."""
TARGET = "model/kl_target"
"""Column that is drawn as a dashed line."""


class Panel(NamedTuple):
  """One quantity.

  Attributes:
    title: its name, with its unit if it has one.
    columns: columns of the run's tables and their labels.
    log: whether its axis is logarithmic, unless a value is not positive.
  """

  title: str
  columns: Mapping[str, str]
  log: bool = False


PANELS = (
  Panel("return of an episode", {"return": "training", "eval/return": "evaluation"}),
  Panel("success rate", {"success": f"last {RECENT} episodes", "eval/success": "evaluation"}),
  Panel(
    "model loss on new data",
    {
      "model/new_data_loss_before": "before the fit",
      "model/new_data_loss_after": "after the fit",
    },
    log=True,
  ),
  Panel(
    "model error (target units²)",
    {
      "model/model_error": "hold-out data, elites",
      "model/holdout_mse": "hold-out data",
      "model/mse": "training data",
    },
    log=True,
  ),
  Panel("KL divergence of an update", {"model/kl": "policy", TARGET: "target"}),
  Panel("surrogate improvement", {"model/surrogate_improvement": "policy"}),
  Panel(
    "error of the value function (fraction)",
    {"model/value_error_before": "before the fit", "model/value_error_after": "after the fit"},
  ),
  Panel("return of imagined episodes", {"model/imagined_return": "policy"}),
  Panel("entropy of the policy (nat)", {"model/entropy": "policy"}),
)


def training(
  path: Path | str,
  rows: list[Row],
  title: str = "",
  evaluations: list[Row] | None = None,
  envs: int = 1,
) -> Path:
  """Plots all panels of which the run has a column.

  Several seeds are shown as their mean with a band of one standard deviation.

  Args:
    path: the PNG file to write.
    rows: trials, from ``metrics.csv``.
    title: of the figure.
    evaluations: from ``csv_log.evaluations``; ``None``: those in the rows of the trials.
    envs: number of parallel environments; trials that end together are shown as their mean.
  """
  evaluations = rows if evaluations is None else evaluations
  table_of = lambda column: evaluations if column.startswith("eval/") else rows
  found = []
  for panel in PANELS:
    lines = {column: column_curves(table_of(column), column, envs) for column in panel.columns}
    if any(lines.values()):
      found.append((panel, lines))
  found = found or [(PANELS[0], {})]  # nothing has been logged yet
  figure, axes = make_panels(len(found), title)
  for own, (panel, lines) in zip(axes, found, strict=True):
    _draw(own, panel, lines)
  return write_figure(figure, path)


def column_curves(rows: list[Row], column: str, envs: int = 1) -> list[Curve]:
  """Returns the curve of a column for each seed, without values that are not finite.

  Success is a moving average over the latest episodes. Metrics of an update, which the rows of
  all episodes up to the next update repeat, are one point.

  Args:
    rows: of the table.
    column: its name.
    envs: see ``training``.
  """
  if column == "success":
    group = [(steps, recent_mean(values, RECENT)) for steps, values in curves(rows, column)]
  elif column.startswith("eval/"):
    group = curves(rows, column)
  else:
    group = curves(mean_over_envs(rows, column, envs), column)
  kept = [(steps[ok], values[ok]) for steps, values in group for ok in [np.isfinite(values)]]
  if column.startswith("model/"):
    kept = [without_repeats(*curve) for curve in kept]
  return [curve for curve in kept if len(curve[0])]


def recent_mean(values: np.ndarray, window: int) -> np.ndarray:
  """Averages each value ``[n]`` with the ``window - 1`` values before it, as far as there are.

  Example:
    >>> recent_mean(np.array([1.0, 0.0, 1.0, 1.0]), 2).tolist()
    [1.0, 0.5, 0.5, 1.0]
  """
  sums = np.concatenate([[0.0], np.cumsum(values)])
  ends = np.arange(1, len(values) + 1)
  starts = np.maximum(ends - window, 0)
  return (sums[ends] - sums[starts]) / (ends - starts)


def without_repeats(steps: np.ndarray, values: np.ndarray) -> Curve:
  """Returns the last point of each stretch of equal values; of a single one also the first.

  Example:
    >>> without_repeats(np.array([1, 2, 3, 4]), np.array([7, 7, 7, 9]))[0].tolist()
    [3, 4]
  """
  kept = np.append(values[1:] != values[:-1], True)[: len(values)]
  kept[:1] |= kept.sum() == 1
  return steps[kept], values[kept]


def thin(steps: np.ndarray, values: np.ndarray) -> Curve:
  """Averages neighbours so that at most ``POINTS`` points remain."""
  if len(steps) <= POINTS:
    return steps, values
  edges = np.linspace(0, len(steps), POINTS + 1).astype(int)
  counts = np.diff(edges)
  mean = lambda x: np.add.reduceat(x, edges[:-1]) / counts
  return mean(steps), mean(values)


def is_logarithmic(column: str, group: list[Curve]) -> bool:
  """Returns whether a column is shown on a logarithmic axis: its panel's is, if all fit."""
  wanted = any(panel.log for panel in PANELS if column in panel.columns)
  return wanted and bool(group) and all((values > 0).all() for _, values in group)


def label_of(column: str) -> str:
  """Returns the name of a column for an axis, the column itself if no panel shows it.

  Example:
    >>> label_of("model/new_data_loss_before"), label_of("model/q")
    ('model loss on new data, before the fit', 'model/q')
  """
  for panel in PANELS:
    if column in panel.columns:
      return f"{panel.title}, {panel.columns[column]}"
  return column


def _draw(axes: Axes, panel: Panel, lines: Mapping[str, list[Curve]]) -> None:
  """Draws one panel; a column has the same colour and marker whether others exist or not."""
  for i, (column, group) in enumerate(lines.items()):
    longest = max((len(steps) for steps, _ in group), default=0)
    marker = "." if longest <= 50 else ""
    colour, style = ("black", "--") if column == TARGET else (COLOURS[i], marker + "-")
    drawn = [thin(*curve) for curve in group]
    draw_curves(axes, drawn, panel.columns[column], colour, style)
  if lines and all(is_logarithmic(c, group) for c, group in lines.items() if group):
    axes.set_yscale("log")
  if any("success" in column for column in lines):
    axes.set_ylim(-0.03, 1.03)
  axes.set(title=panel.title, xlabel="environment steps")
  axes.locator_params(axis="x", nbins=6)  # five-digit labels do not overlap
  if len(axes.get_legend_handles_labels()[1]) > 1:
    axes.legend(frameon=False, fontsize="small")
