"""Draws learning curves, model errors, particle fans and episodes to PNG files.

Figures are made without ``pyplot``: no backend is chosen, no global state is touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.csv_log import Row

COLOURS = ["#3366aa", "#cc6633", "#339966", "#aa3377", "#777777", "#bb9900", "#33aacc"]
MANY = 8
"""Labels above which the legend stands beside the axes."""
Curves = dict[str, list[tuple[np.ndarray, np.ndarray]]]
"""For each label, one ``(steps [n], values [n])`` for each run or seed."""


def curves(rows: list[Row], column: str) -> list[tuple[np.ndarray, np.ndarray]]:
  """Returns one curve of ``column`` over steps for each seed in a table."""
  seeds = dict.fromkeys(row.get("seed") for row in rows)
  split = [[r for r in rows if r.get("seed") == seed and column in r] for seed in seeds]
  return [
    (np.array([r["step"] for r in part]), np.array([r[column] for r in part]))
    for part in split
    if part
  ]


def side_by_side(rows: list[Row], column: str, envs: int) -> list[Row]:
  """Averages ``column`` over trials of a seed that end in the same step of all environments.

  Args:
    rows: trials.
    column: of them.
    envs: environments that step at the same time, whose steps are counted one after the other.
  """
  groups: dict[tuple[float | None, int], list[float]] = {}
  for row in rows:
    if column in row:
      step = -(-int(row["step"]) // envs) * envs
      groups.setdefault((row.get("seed"), step), []).append(row[column])
  seed_of = lambda seed: {} if seed is None else {"seed": seed}
  return [
    {**seed_of(seed), "step": step, column: float(np.mean(values))}
    for (seed, step), values in groups.items()
  ]


def learning_curve(
  path: Path | str,
  rows: list[Row],
  title: str = "",
  evaluations: list[Row] | None = None,
  envs: int = 1,
) -> Path:
  """Draws the return of every trial and its running maximum, of one run.

  Several seeds are drawn as their mean with a band of one standard deviation.

  Args:
    path: the PNG file to write.
    rows: trials.
    title: over the picture.
    evaluations: from ``table.evaluations``; ``None``: those among the trials.
    envs: environments side by side, whose trials that end together are drawn as their mean.
  """
  figure, axes = _figure(title, "environment steps", "return of an episode")
  returns = curves(side_by_side(rows, "return", envs), "return")
  _draw(axes, returns, "return", COLOURS[0], "o-")
  _draw(axes, curves(rows, "best"), "running maximum", COLOURS[1], "--")
  evaluated = curves(rows if evaluations is None else evaluations, "eval/return")
  if evaluated:
    _draw(axes, evaluated, "evaluation", COLOURS[2], "s-")
  return _save(figure, axes, path)


def comparison(path: Path | str, groups: Curves, ylabel: str, title: str = "") -> Path:
  """Draws one mean curve with its band for each group of runs.

  Args:
    path: the PNG file to write.
    groups: the curves of each label.
    ylabel: what the curves show.
    title: over the picture.
  """
  figure, axes = _figure(title, "environment steps", ylabel)
  for i, (label, group) in enumerate(groups.items()):
    style = ["-", "--", ":"][i // len(COLOURS) % 3]
    count = f" ({len(group)} runs)" if len(group) > 1 else ""
    _draw(axes, group, label + count, COLOURS[i % len(COLOURS)], style)
  return _save(figure, axes, path)


def model_error(path: Path | str, rows: list[Row], title: str = "") -> Path:
  """Draws all ``model/`` columns that are errors, on a logarithmic axis."""
  figure, axes = _figure(title, "environment steps", "mean squared error (target units²)")
  names = [name for name in ("model/mse", "model/holdout_mse") if curves(rows, name)]
  for name, colour in zip(names, COLOURS, strict=False):
    _draw(axes, curves(rows, name), name.removeprefix("model/"), colour, "o-")
  if names:
    axes.set_yscale("log")
  return _save(figure, axes, path)


def predicted_against_true(
  path: Path | str, predicted: np.ndarray, true: np.ndarray, title: str = ""
) -> Path:
  """Draws predictions against what happened, one panel for each dimension.

  Args:
    path: the PNG file to write.
    predicted: mean predictions ``[n, O]``.
    true: observations ``[n, O]``.
    title: over the picture.
  """
  figure, panels = _panels(true.shape[1], title)
  for i, axes in enumerate(panels):
    both = np.concatenate([predicted[:, i], true[:, i]])
    ends = [np.nanmin(both), np.nanmax(both)]
    axes.plot(ends, ends, "-", color="0.6", linewidth=1, label="exact")
    axes.plot(true[:, i], predicted[:, i], ".", color=COLOURS[0], markersize=3, label="steps")
    axes.set(xlabel=f"observed, dimension {i}", ylabel="predicted")
  return _save(figure, panels[0], path)


def particle_fan(
  path: Path | str,
  predictions: np.ndarray,
  observations: np.ndarray,
  *,
  every: int,
  dt: float = 1.0,
  title: str = "",
) -> Path:
  """Draws what every particle expected at some control steps against what happened.

  Args:
    path: the PNG file to write.
    predictions: ``[T, H+1, P, O]``, made at each control step; NaN behind the plan's end.
    observations: ``[T+1, O]``.
    every: control steps between two fans.
    dt: seconds of a control step.
    title: over the picture.
  """
  figure, panels = _panels(observations.shape[1], title)
  horizon = predictions.shape[1]
  for i, axes in enumerate(panels):
    for n, start in enumerate(range(0, len(predictions), every)):
      times = dt * (start + np.arange(horizon))
      lines = axes.plot(
        times, predictions[start, :, :, i], color=COLOURS[0], linewidth=0.6, alpha=0.35
      )
      lines[0].set_label("particles" if n == 0 else None)
    happened = observations[:, i]
    axes.plot(dt * np.arange(len(happened)), happened, color="black", label="what happened")
    axes.set(xlabel="time (s)", ylabel=f"observation {i}")
    _limit(axes, happened)
  return _save(figure, panels[0], path)


def episode_curves(
  path: Path | str,
  moments: dict[str, np.ndarray],
  dt: float,
  title: str = "",
  limit: float | None = None,
) -> Path:
  """Draws reward, return so far, best planned return and planning time of one episode.

  Args:
    path: the PNG file to write.
    moments: ``reward`` and ``value`` ``[T]``, and perhaps ``plan_seconds`` ``[T]``, NaN
      where nothing was planned.
    dt: seconds of a control step.
    title: over the picture.
    limit: seconds that planning may take, drawn as a line; what took longer is marked.
  """
  reward, seconds = np.float64(moments["reward"]), moments.get("plan_seconds")
  times = dt * np.arange(len(reward))
  figure = Figure(figsize=(7, 6.5 if seconds is None else 8.5), layout="constrained")
  figure.suptitle(title)
  panels = figure.subplots(3 if seconds is None else 4, 1, sharex=True)
  rows = (
    ("reward of the step", reward, COLOURS[0]),
    ("return so far", np.cumsum(reward), COLOURS[2]),
    ("best planned return", np.float64(moments["value"]), COLOURS[1]),
  )
  for axes, (label, values, colour) in zip(panels, rows, strict=False):
    _tidy(axes)
    axes.plot(times, values, color=colour)
    axes.set_ylabel(label)
  if seconds is not None:
    _tidy(panels[3])
    _planning_time(panels[3], times, 1e3 * np.float64(seconds), limit and 1e3 * limit)
  panels[-1].set_xlabel("time (s)")
  return _save(figure, panels[-1], path)


def write_figure(figure: Figure, path: Path | str) -> Path:
  """Writes a figure, whole or not at all, as what the suffix of the file says."""
  path = Path(path)
  for text in _texts(figure):
    text.set_parse_math(False)  # a $ in the name of a run begins no formula
  path.parent.mkdir(parents=True, exist_ok=True)
  kind = path.suffix[1:] or "png"
  files.write_atomic(path, lambda file: figure.savefig(file, format=kind, dpi=120))
  return path


def _texts(figure: Figure) -> Iterator[Text]:
  """Yields titles, labels and legends; numbers on axes are formulas where they are powers."""
  yield from figure.texts
  legends = [*figure.legends]
  for axes in figure.axes:
    yield from (axes.title, axes.xaxis.label, axes.yaxis.label)
    legends += [axes.get_legend()] if axes.get_legend() else []
  for legend in legends:
    yield from legend.get_texts()


def _planning_time(
  axes: Axes, times: np.ndarray, milliseconds: np.ndarray, limit: float | None
) -> None:
  """Draws how long each plan took, on a logarithmic axis."""
  axes.plot(times, milliseconds, ".", color="0.45", markersize=4, label="planning")
  if limit:
    axes.axhline(limit, color="black", linewidth=1, linestyle="--", label="control step")
    late = np.nan_to_num(milliseconds) > limit
    if late.any():
      axes.plot(times[late], milliseconds[late], ".", color="#b3261e", label="missed")
  axes.set(ylabel="planning time (ms)", yscale="log")


def _limit(axes: Axes, values: np.ndarray) -> None:
  """Keeps a fan that goes astray from hiding what happened."""
  low, high = np.nanmin(values), np.nanmax(values)
  margin = max(0.5 * (high - low), 1e-3)
  bottom, top = axes.get_ylim()
  axes.set_ylim(max(bottom, low - margin), min(top, high + margin))


def _figure(title: str, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
  figure = Figure(figsize=(7, 4.5), layout="constrained")
  axes = figure.subplots()
  axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
  _tidy(axes)
  return figure, axes


def _panels(count: int, title: str) -> tuple[Figure, list[Axes]]:
  columns = min(count, 3)
  rows = -(-count // columns)
  figure = Figure(figsize=(4 * columns, 2.8 * rows), layout="constrained")
  figure.suptitle(title)
  panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
  for axes in panels[count:]:
    axes.set_visible(False)
  for axes in panels[:count]:
    _tidy(axes)
  return figure, panels[:count]


def _tidy(axes: Axes) -> None:
  axes.grid(color="0.9")
  axes.set_axisbelow(True)
  axes.spines[["top", "right"]].set_visible(False)


def _draw(
  axes: Axes, group: list[tuple[np.ndarray, np.ndarray]], label: str, colour: str, style: str
) -> None:
  """Draws one curve, or the mean of several with a band, on the steps of them all."""
  if not group:
    return
  if len(group) == 1:
    axes.plot(*group[0], style, color=colour, markersize=4, label=label)
    return
  grid = np.unique(np.concatenate([steps for steps, _ in group]))
  inside = [(grid >= steps[0]) & (grid <= steps[-1]) for steps, _ in group]
  values = np.array(
    [
      np.where(i, np.interp(grid, *curve), np.nan)
      for i, curve in zip(inside, group, strict=True)
    ]
  )
  mean, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
  axes.plot(grid, mean, style, color=colour, markersize=4, label=label)
  axes.fill_between(grid, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)


def _save(figure: Figure, axes: Axes, path: Path | str) -> Path:
  """Adds the legend and writes the file."""
  labels = axes.get_legend_handles_labels()[1]
  if len(labels) > MANY:
    figure.set_figwidth(figure.get_figwidth() + 3)
    figure.legend(loc="outside right upper", frameon=False, fontsize="small")
  elif labels:
    axes.legend(frameon=False, fontsize="small")
  return write_figure(figure, path)
