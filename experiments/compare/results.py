"""Writes the rows of a comparison as CSV, Markdown and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rich.box
import rich.table
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.command_line import outputs
from mbrl_jax.runtime.rendering import plots
from mbrl_jax.runtime.rendering.plots import COLOURS

Row = dict[str, float | int | str]

GOAL = 0.05
"""Largest accepted distance from the best return, as a share of it."""


def standard_error(values: np.ndarray) -> float:
  """Returns the standard error of the mean, NaN for a single value."""
  return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def rank(rows: list[Row]) -> list[Row]:
  """Adds the column ``behind``: distance from the task's best return, as a share of it."""
  best: dict[str, float] = {}
  for row in rows:
    best[row["env"]] = max(best.get(row["env"], -np.inf), row["return"])
  share = lambda row: (best[row["env"]] - row["return"]) / abs(best[row["env"]])
  return [{**row, "behind": share(row)} for row in rows]


def write_csv(path: Path, rows: list[Row]) -> Path:
  """Writes the rows; floats have six significant digits."""
  short = lambda value: f"{value:.6g}" if isinstance(value, float) else value
  cells = ({name: short(value) for name, value in row.items()} for row in rows)
  return outputs.write_csv(path, list(rows[0]), cells)


def planner_table(rows: list[Row]) -> rich.table.Table:
  """Returns the comparison of planners as a Markdown table."""
  columns = (
    "task",
    "planner",
    "return",
    "behind the best",
    "ms per plan",
    "model steps per plan",
  )
  table = rich.table.Table(box=rich.box.MARKDOWN)
  for i, name in enumerate(columns):
    table.add_column(name, justify="left" if i < 2 else "right", no_wrap=True)
  for row in sorted(rows, key=lambda row: (row["env"], row["behind"])):
    mark = "" if row["behind"] <= GOAL else " !"
    table.add_row(
      row["env"],
      row["planner"],
      f"{row['return']:.1f} ± {row['error']:.1f}",
      f"{row['behind']:.1%}{mark}",
      f"{1e3 * row['plan_seconds']:.2f}",
      f"{row['model_steps']:,}",
    )
  return table


def sample_table(rows: list[Row]) -> rich.table.Table:
  """Returns the curves over the number of samples as a Markdown table."""
  table = rich.table.Table(box=rich.box.MARKDOWN)
  for name in ("task", "samples", "step size", "return", "gain over step size 1"):
    table.add_column(name, justify="left" if name == "task" else "right", no_wrap=True)
  for row in rows:
    table.add_row(
      row["env"],
      str(row["samples"]),
      f"{row['step_size']:g}",
      f"{row['return']:.1f} ± {row['error']:.1f}",
      "" if row["step_size"] == 1 else f"{row['gain']:+.1f} ± {row['gain_error']:.1f}",
    )
  return table


def draw_planners(path: Path, rows: list[Row]) -> Path:
  """Draws one panel per task: the return of every planner with its standard error."""
  tasks = list(dict.fromkeys(row["env"] for row in rows))
  figure, panels = _panels(1, len(tasks), 3.2)
  for axes, task in zip(panels[0], tasks, strict=True):
    part = sorted((r for r in rows if r["env"] == task), key=lambda row: row["return"])
    values, errors = ([row[name] for row in part] for name in ("return", "error"))
    best = max(values)
    axes.axvspan(best - GOAL * abs(best), best, color=COLOURS[2], alpha=0.15, linewidth=0)
    places = range(len(part))
    axes.errorbar(values, places, xerr=errors, fmt="o", color=COLOURS[0], capsize=3)
    axes.set_yticks(places, [row["planner"] for row in part])
    axes.locator_params(axis="x", nbins=6)
    axes.margins(y=0.1)
    axes.set(title=task, xlabel=f"return, {part[0]['seeds']} seeds (band: {GOAL:.0%})")
  return plots.write_figure(figure, path)


def draw_samples(path: Path, rows: list[Row]) -> Path:
  """Draws two panels per task: returns over samples, and the gain over step size 1.

  Bands are 95 % intervals. Those of the returns are wide because initial states differ between
  seeds; those of the gain are of paired differences.
  """
  tasks = list(dict.fromkeys(row["env"] for row in rows))
  figure, panels = _panels(2, len(tasks), 3.0)
  for column, task in enumerate(tasks):
    part = [row for row in rows if row["env"] == task]
    for colour, size in zip(COLOURS, sorted({r["step_size"] for r in part}), strict=False):
      curve = [row for row in part if row["step_size"] == size]
      _curve(panels[0][column], curve, "return", "error", colour)
      _curve(panels[1][column], curve, "gain", "gain_error", colour)
    panels[0][column].set(title=task, ylabel=f"return, {part[0]['seeds']} seeds")
    panels[1][column].set(xlabel="samples", ylabel="gain over step size 1")
  panels[0][0].legend(title="step size", frameon=False, fontsize="small")
  return plots.write_figure(figure, path)


def _curve(axes: Axes, rows: list[Row], name: str, error: str, colour: str) -> None:
  x, y, e = (np.array([row[key] for row in rows]) for key in ("samples", name, error))
  axes.plot(x, y, "o-", color=colour, markersize=4, label=f"{rows[0]['step_size']:g}")
  axes.fill_between(x, y - 1.96 * e, y + 1.96 * e, color=colour, alpha=0.15, linewidth=0)
  axes.set_xscale("log", base=2)
  axes.set_xticks(x, [str(n) for n in x])


def _panels(rows: int, columns: int, height: float) -> tuple[Figure, np.ndarray]:
  figure = Figure(figsize=(4.8 * columns, height * rows), layout="constrained")
  panels = figure.subplots(rows, columns, squeeze=False)
  for axes in panels.ravel():
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
  return figure, panels
