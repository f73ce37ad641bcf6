"""Learning curves of groups of runs, by task, with intervals over seeds.

A line is the interquartile mean of the evaluations over the seeds of all runs of a group, a
band its stratified bootstrap interval (``statistics``). Seeds are interpolated to common steps,
up to the end of the shortest. With several tasks a last panel aggregates all of them, each
scaled to 0 at its lowest and 1 at its highest evaluation.

For a run without evaluations (--eval_every=0) the training episodes are used instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rich.table
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.analysis import statistics
from experiments.command_line import outputs
from mbrl_jax.runtime.rendering import plots
from mbrl_jax.runtime.storage.csv_log import evaluations, read_table
from mbrl_jax.runtime.storage.run_folder import RunFolder, RunFolderError

POINTS = 200
"""Maximum points of a drawn curve."""
EVALUATED = {"return": "return", "success": "success rate"}
"""Columns of evaluations, without ``eval/``, and their labels."""
ALL = "all tasks, scaled"
COLUMNS = ("label", "task", "seeds", "step", "iqm", "low", "high")
REACHED = ("steps_to_threshold", "median_steps")


class Curve(NamedTuple):
  """The evaluations of one seed.

  Attributes:
    task: name of the task.
    steps: environment steps ``[n]``, increasing.
    values: mean return of each evaluation ``[n]``.
  """

  task: str
  steps: np.ndarray
  values: np.ndarray


Groups = dict[str, list[Curve]]
"""Curves by label."""


class Band(NamedTuple):
  """Interquartile mean of curves with its interval.

  Attributes:
    steps: ``[n]``.
    middle, low, high: ``[n]``.
  """

  steps: np.ndarray
  middle: np.ndarray
  low: np.ndarray
  high: np.ndarray


def read(folder: RunFolder, column: str = "return") -> list[Curve]:
  """Reads the curve of each seed of a run; empty if there are no evaluations yet.

  Args:
    folder: of the run.
    column: ``return``, or ``success`` for the success rate.
  """
  rows = evaluations(folder.path)
  evaluated = bool(rows)
  if not evaluated and folder.metrics.exists():
    rows = [
      row for row in read_table(folder.metrics, ("return", "random")) if not row["random"]
    ]
  config = folder.config()
  if "env" not in config:
    raise RunFolderError(f"{folder.path / 'config.json'} has no env.")
  task = config["env"]
  found = plots.curves(rows, f"eval/{column}" if evaluated else column)
  return [Curve(task, *curve) for curve in found]


def read_csv(path: Path, task: str, column: str = "return") -> list[Curve]:
  """Reads the curve of each seed from a table of evaluations, see ``read``.

  Raises:
    OSError: the file cannot be read.
    ValueError: a column is missing.
  """
  rows, name = read_table(path), f"eval/{column}"
  missing = {"step", "seed", name} - set(rows[0] if rows else ())
  if missing:
    raise ValueError(f"has no column {', '.join(sorted(missing))}.")
  return [Curve(task, *curve) for curve in plots.curves(rows, name)]


def band(strata: Sequence[Sequence[Curve]]) -> Band | None:
  """Returns the interquartile mean of curves and its interval.

  Args:
    strata: the curves of each task.

  Returns:
    ``None`` if the curves have no steps in common.
  """
  curves = [curve for stratum in strata for curve in stratum]
  start = max(curve.steps[0] for curve in curves)
  end = min(curve.steps[-1] for curve in curves)
  if start > end:
    return None
  steps = np.unique(np.concatenate([curve.steps for curve in curves]))
  steps = steps[(steps >= start) & (steps <= end)]
  if len(steps) > POINTS:
    steps = np.linspace(start, end, POINTS)
  values = [np.array([np.interp(steps, c.steps, c.values) for c in s]) for s in strata]
  middle = statistics.interquartile_mean(np.concatenate(values))
  return Band(steps, middle, *statistics.bootstrap(values))


def tasks_of(groups: Groups) -> list[str]:
  """Lists the tasks of all groups, in order of appearance."""
  return list(dict.fromkeys(curve.task for curves in groups.values() for curve in curves))


def bands(groups: Groups) -> dict[str, dict[str, tuple[Band, int]]]:
  """Returns each label's band and number of seeds, by task and for all tasks."""
  tasks = tasks_of(groups)
  found: dict[str, dict[str, tuple[Band, int]]] = {task: {} for task in tasks}
  for label, curves in groups.items():
    for task in tasks:
      own = [curve for curve in curves if curve.task == task]
      _put(found[task], label, [own])
  if len(tasks) > 1:
    found[ALL] = {}
    for label, curves in _scaled(groups, tasks).items():
      _put(found[ALL], label, [[c for c in curves if c.task == task] for task in tasks])
  return found


def draw(path: Path, groups: Groups, title: str = "", column: str = "return") -> Path:
  """Draws one panel per task and, for several tasks, one over all of them."""
  found = bands(groups)
  columns = min(len(found), 3)
  rows = -(-len(found) // columns)
  figure = Figure(figsize=(max(7.0, 4.8 * columns), 4.2 * rows), layout="constrained")
  figure.suptitle(title)
  panels = figure.subplots(rows, columns, squeeze=False).ravel()
  for axes, (task, labelled) in zip(panels, found.items(), strict=False):
    _panel(axes, task, labelled, list(groups), EVALUATED[column])
  for axes in panels[len(found) :]:
    axes.set_visible(False)
  handles = {}
  for axes in panels:
    for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
      handles.setdefault(label, handle)
  if handles:
    seeds = {}  # of each label, in its first panel
    for labelled in found.values():
      seeds = {label: count for label, (_, count) in labelled.items()} | seeds
    names = [f"{label} ({seeds[label]})" for label in handles]
    # Below the panels: labels hold the values of a sweep and may be long.
    figure.legend(
      handles.values(), names, loc="outside lower center", frameon=False, fontsize="small"
    )
  return plots.write_figure(figure, path)


def table(groups: Groups, threshold: float | None = None) -> list[dict[str, str]]:
  """Returns a row of formatted values for each label and task.

  Args:
    groups: the curves.
    threshold: a return; adds the environment steps at which each seed's evaluations reached
      it (``-``: never) and their median.
  """
  rows = []
  for label, curves in groups.items():
    for task in tasks_of({label: curves}):
      own = [curve for curve in curves if curve.task == task]
      rows.append({"label": label, "task": task, "seeds": str(len(own)), **_last(own)})
      if threshold is not None:
        rows[-1] |= _reached(own, threshold)
  return rows


def show(rows: list[dict[str, str]], threshold: float | None = None) -> rich.table.Table:
  """Returns the rows as a table for the terminal."""
  shown = rich.table.Table()
  for name in _names(rows):
    words = name.replace("_", " ").replace("threshold", f"{threshold:g}" if threshold else "0")
    shown.add_column(words, justify="left" if name in ("label", "task") else "right")
  for row in rows:
    shown.add_row(*row.values())
  return shown


def write(path: Path, rows: list[dict[str, str]]) -> Path:
  """Writes the rows as a CSV file."""
  return outputs.write_csv(path, _names(rows), rows)


def _names(rows: list[dict[str, str]]) -> list[str]:
  return list(rows[0]) if rows else list(COLUMNS)


def _put(into: dict, label: str, strata: list[list[Curve]]) -> None:
  strata = [stratum for stratum in strata if stratum]
  found = band(strata) if strata else None
  if found is not None:
    into[label] = found, sum(map(len, strata))


def _scaled(groups: Groups, tasks: list[str]) -> Groups:
  """Scales the curves of each task to 0 at its lowest and 1 at its highest evaluation."""
  ends = {}
  for task in tasks:
    values = [c.values for curves in groups.values() for c in curves if c.task == task]
    low, high = np.min(np.concatenate(values)), np.max(np.concatenate(values))
    ends[task] = low, max(high - low, 1e-12)
  return {
    label: [c._replace(values=(c.values - ends[c.task][0]) / ends[c.task][1]) for c in curves]
    for label, curves in groups.items()
  }


def _panel(
  axes: Axes, task: str, labelled: dict[str, tuple[Band, int]], labels: list[str], text: str
) -> None:
  """Draws the bands of one task; a label has the same colour in every panel."""
  for label, (found, _) in labelled.items():
    index = labels.index(label)
    colour = plots.COLOURS[index % len(plots.COLOURS)]
    style = ["-", "--", ":"][index // len(plots.COLOURS) % 3]
    marker = "o" if len(found.steps) == 1 else None
    axes.plot(found.steps, found.middle, style, marker=marker, color=colour, label=label)
    axes.fill_between(found.steps, found.low, found.high, color=colour, alpha=0.2, linewidth=0)
  axes.set(title=task, xlabel="environment steps", ylabel=f"{text}, interquartile mean")
  axes.grid(color="0.9")
  axes.set_axisbelow(True)
  axes.spines[["top", "right"]].set_visible(False)


def _last(curves: list[Curve]) -> dict[str, str]:
  """Formats the band at its last step."""
  found = band([curves])
  if found is None:
    return dict.fromkeys(COLUMNS[3:], "-")
  ends = (found.middle[-1], found.low[-1], found.high[-1])
  texts = [f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}" for value in ends]
  return dict(zip(COLUMNS[3:], [f"{found.steps[-1]:.0f}", *texts], strict=True))


def _reached(curves: list[Curve], threshold: float) -> dict[str, str]:
  """Formats the steps at which each seed reached a return, and their median."""
  steps = [statistics.first_reached(c.steps, c.values, threshold) for c in curves]
  known = sorted(float("inf") if step is None else step for step in steps)
  # The lower median: a step at which half of the seeds have reached the return.
  middle = known[(len(known) - 1) // 2]
  each = " ".join("-" if step is None else f"{step:.0f}" for step in steps)
  return dict(zip(REACHED, [each, "-" if np.isinf(middle) else f"{middle:.0f}"], strict=True))
