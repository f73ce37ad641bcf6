"""Plots learning curves, model errors, particle fans and episodes to PNG files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mbrl_jax.runtime.rendering.figures import (
  COLOURS,
  make_figure,
  make_panels,
  save_figure,
  style_axes,
  write_figure,
)
from mbrl_jax.runtime.storage.csv_log import Row

__all__ = [
  "COLOURS",
  "Curves",
  "comparison",
  "curves",
  "draw_curves",
  "episode_curves",
  "learning_curve",
  "mean_over_envs",
  "model_error",
  "particle_fan",
  "predicted_against_true",
  "write_figure",
]

Curves = dict[str, list[tuple[np.ndarray, np.ndarray]]]
"""Label to curves, one ``(steps [n], values [n])`` for each run or seed."""


def curves(rows: list[Row], column: str) -> list[tuple[np.ndarray, np.ndarray]]:
  """Returns one curve of ``column`` over steps for each seed in a table.

  Example:
    >>> rows = [{"step": 10.0, "return": 1.0}, {"step": 20.0, "return": 3.0}]
    >>> [(steps.tolist(), values.tolist()) for steps, values in curves(rows, "return")]
    [([10.0, 20.0], [1.0, 3.0])]
  """
  seeds = dict.fromkeys(row.get("seed") for row in rows)
  split = [[r for r in rows if r.get("seed") == seed and column in r] for seed in seeds]
  return [
    (np.array([r["step"] for r in part]), np.array([r[column] for r in part]))
    for part in split
    if part
  ]


def mean_over_envs(rows: list[Row], column: str, envs: int) -> list[Row]:
  """Averages ``column`` over trials of a seed that end at the same time in parallel envs.

  Args:
    rows: trials.
    column: name of the metric.
    envs: number of environments that step at the same time; their steps are counted in turn.
  """
  groups: dict[tuple[float | None, int], list[float]] = {}
  for row in rows:
    if column in row:
      step = -(-int(row["step"]) // envs) * envs
      groups.setdefault((row.get("seed"), step), []).append(row[column])
  seed_of: Callable[[float | None], Row] = lambda seed: {} if seed is None else {"seed": seed}
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
  changes: Sequence[int] = (),
) -> Path:
  """Plots the return of every trial of a run and its running maximum.

  Several seeds are shown as their mean with a band of one standard deviation.

  Args:
    path: the PNG file to write.
    rows: trials.
    title: of the figure.
    evaluations: from ``csv_log.evaluations``; ``None``: those in the rows of the trials.
    envs: number of parallel environments; trials that end together are shown as their mean.
    changes: steps at which the task changed, drawn as vertical lines.
  """
  figure, axes = make_figure(title, "environment steps", "return of an episode")
  returns = curves(mean_over_envs(rows, "return", envs), "return")
  draw_curves(axes, returns, "return", COLOURS[0], "o-")
  draw_curves(axes, curves(rows, "best"), "running maximum", COLOURS[1], "--")
  evaluated = curves(rows if evaluations is None else evaluations, "eval/return")
  if evaluated:
    draw_curves(axes, evaluated, "evaluation", COLOURS[2], "s-")
  for i, step in enumerate(changes):
    label = None if i else "change of the task"
    axes.axvline(step, color="black", linewidth=1, linestyle=":", label=label)
  return save_figure(figure, axes, path)


def comparison(
  path: Path | str,
  groups: Curves,
  ylabel: str,
  title: str = "",
  log: bool = False,
  log_steps: bool = False,
) -> Path:
  """Plots a mean curve with a band of one standard deviation for each group of runs.

  Args:
    path: the PNG file to write.
    groups: the curves of each label.
    ylabel: label of the y axis.
    title: of the figure.
    log: use a logarithmic y axis.
    log_steps: use a logarithmic x axis.
  """
  figure, axes = make_figure(title, "environment steps", ylabel)
  for i, (label, group) in enumerate(groups.items()):
    style = ["-", "--", ":"][i // len(COLOURS) % 3]
    style += "o" if all(len(steps) == 1 for steps, _ in group) else ""  # lines of no length
    count = f" ({len(group)} runs)" if len(group) > 1 else ""
    draw_curves(axes, group, label + count, COLOURS[i % len(COLOURS)], style)
  if log:
    axes.set_yscale("log")
  if log_steps:
    axes.set_xscale("log")
  return save_figure(figure, axes, path)


def model_error(path: Path | str, rows: list[Row], title: str = "") -> Path:
  """Plots all ``model/`` columns that are errors, on a logarithmic axis."""
  figure, axes = make_figure(title, "environment steps", "mean squared error (target units²)")
  names = [name for name in ("model/mse", "model/holdout_mse") if curves(rows, name)]
  for name, colour in zip(names, COLOURS, strict=False):
    draw_curves(axes, curves(rows, name), name.removeprefix("model/"), colour, "o-")
  if names:
    axes.set_yscale("log")
  return save_figure(figure, axes, path)


def predicted_against_true(
  path: Path | str, predicted: np.ndarray, true: np.ndarray, title: str = ""
) -> Path:
  """Plots predictions against observations, one panel for each dimension.

  Args:
    path: the PNG file to write.
    predicted: mean predictions ``[n, O]``.
    true: observations ``[n, O]``.
    title: of the figure.
  """
  figure, panels = make_panels(true.shape[1], title)
  for i, axes in enumerate(panels):
    both = np.concatenate([predicted[:, i], true[:, i]])
    ends = [np.nanmin(both), np.nanmax(both)]
    axes.plot(ends, ends, "-", color="0.6", linewidth=1, label="exact")
    axes.plot(true[:, i], predicted[:, i], ".", color=COLOURS[0], markersize=3, label="steps")
    axes.set(xlabel=f"observed, dimension {i}", ylabel="predicted")
  return save_figure(figure, panels[0], path)


def particle_fan(
  path: Path | str,
  predictions: np.ndarray,
  observations: np.ndarray,
  *,
  every: int,
  dt: float = 1.0,
  title: str = "",
) -> Path:
  """Plots the predictions of all particles from some control steps, and the observations.

  Args:
    path: the PNG file to write.
    predictions: ``[T, H+1, P, O]``, made at each control step; NaN after the plan's end.
    observations: ``[T+1, O]``.
    every: control steps between two fans.
    dt: seconds of a control step.
    title: of the figure.
  """
  figure, panels = make_panels(observations.shape[1], title)
  horizon = predictions.shape[1]
  for i, axes in enumerate(panels):
    for n, start in enumerate(range(0, len(predictions), every)):
      times = dt * (start + np.arange(horizon))
      lines = axes.plot(
        times, predictions[start, :, :, i], color=COLOURS[0], linewidth=0.6, alpha=0.35
      )
      lines[0].set_label("particles" if n == 0 else None)
    observed = observations[:, i]
    axes.plot(dt * np.arange(len(observed)), observed, color="black", label="observed")
    axes.set(xlabel="time (s)", ylabel=f"observation {i}")
    _limit_y_axis(axes, observed)
  return save_figure(figure, panels[0], path)


def episode_curves(
  path: Path | str,
  moments: dict[str, np.ndarray],
  dt: float,
  title: str = "",
  limit: float | None = None,
) -> Path:
  """Plots reward, return so far, best planned return and planning time of one episode.

  Args:
    path: the PNG file to write.
    moments: ``reward`` and ``value`` ``[T]``, and perhaps ``plan_seconds`` ``[T]``, NaN
      where nothing was planned.
    dt: seconds of a control step.
    title: of the figure.
    limit: seconds that planning may take, shown as a line; slower plans are marked.
  """
  reward = np.asarray(moments["reward"], np.float64)
  seconds = moments.get("plan_seconds")
  times = dt * np.arange(len(reward))
  figure = Figure(figsize=(7, 6.5 if seconds is None else 8.5), layout="constrained")
  figure.suptitle(title)
  panels = figure.subplots(3 if seconds is None else 4, 1, sharex=True)
  rows = (
    ("reward of the step", reward, COLOURS[0]),
    ("return so far", np.cumsum(reward), COLOURS[2]),
    ("best planned return", np.asarray(moments["value"], np.float64), COLOURS[1]),
  )
  for axes, (label, values, colour) in zip(panels, rows, strict=False):
    style_axes(axes)
    axes.plot(times, values, color=colour)
    axes.set_ylabel(label)
  if seconds is not None:
    style_axes(panels[3])
    _plot_planning_time(
      panels[3], times, 1e3 * np.asarray(seconds, np.float64), limit and 1e3 * limit
    )
  panels[-1].set_xlabel("time (s)")
  return save_figure(figure, panels[-1], path)


def _plot_planning_time(
  axes: Axes, times: np.ndarray, milliseconds: np.ndarray, limit: float | None
) -> None:
  """Plots the time of each plan, on a logarithmic axis."""
  axes.plot(times, milliseconds, ".", color="0.45", markersize=4, label="planning")
  if limit:
    axes.axhline(limit, color="black", linewidth=1, linestyle="--", label="control step")
    late = np.nan_to_num(milliseconds) > limit
    if late.any():
      axes.plot(times[late], milliseconds[late], ".", color="#b3261e", label="missed")
  axes.set(ylabel="planning time (ms)", yscale="log")


def _limit_y_axis(axes: Axes, values: np.ndarray) -> None:
  """Limits the y axis to near ``values``, however far predictions diverge."""
  low, high = np.nanmin(values), np.nanmax(values)
  margin = max(0.5 * (high - low), 1e-3)
  bottom, top = axes.get_ylim()
  axes.set_ylim(max(bottom, low - margin), min(top, high + margin))


def draw_curves(
  axes: Axes, group: list[tuple[np.ndarray, np.ndarray]], label: str, colour: str, style: str
) -> None:
  """Plots one curve, or the mean of several with a band, on the union of their steps."""
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
  mean, std = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
  axes.plot(grid, mean, style, color=colour, markersize=4, label=label)
  axes.fill_between(grid, mean - std, mean + std, color=colour, alpha=0.2, linewidth=0)
