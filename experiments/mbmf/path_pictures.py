"""Draws paths and the trajectories driven along them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.mbmf.driven import Drive
from mbrl_jax.runtime.rendering import figures

MARGIN = 1.0
"""Metres around the trajectories: a straight path is longer than any of them."""


def draw_fits(path: Path, drives: Sequence[Drive], title: str) -> Path:
  """Draws a panel for each fit of the model with all rollouts after it.

  Args:
    path: the PNG file.
    drives: rollouts of one agent along one path, at least one.
    title: of the figure.
  """
  numbers = sorted({each.fit for each in drives})
  figure, panels = _make_panels(len(numbers), title)
  for axes, fit in zip(panels, numbers, strict=True):
    _panel(axes, [each for each in drives if each.fit == fit], f"aggregation {fit}")
  return _save(figure, panels[0], path)


def draw_sheet(path: Path, drives: Sequence[Drive]) -> Path:
  """Draws a panel for each agent and path with all its rollouts, at least one."""
  names = list(dict.fromkeys((each.agent, each.path) for each in drives))
  figure, panels = _make_panels(len(names), "")
  for axes, (agent, name) in zip(panels, names, strict=True):
    own = [each for each in drives if (each.agent, each.path) == (agent, name)]
    _panel(axes, own, f"{agent}, {name}")
  return _save(figure, panels[0], path)


def _panel(axes: Axes, drives: Sequence[Drive], title: str) -> None:
  points = drives[0].points
  axes.plot(*points.T, "o-", color="0.75", markersize=3, linewidth=3, label="path")
  seeds = sorted({each.seed for each in drives})
  for drive in drives:
    index = seeds.index(drive.seed)
    first = drive is next(each for each in drives if each.seed == drive.seed)
    label = f"seed {drive.seed}" if first else None
    colour = figures.COLOURS[index % len(figures.COLOURS)]
    axes.plot(*drive.places.T, color=colour, linewidth=1, label=label)
  progress = np.mean([each.progress for each in drives])
  distance = np.mean([each.distance for each in drives])
  lengths = np.mean([each.body_lengths for each in drives])
  note = f"{progress:.0%} of the path, {distance:.2f} m ({lengths:.2f} body lengths) off"
  axes.set_title(f"{title}\n{note}", fontsize="small")
  axes.set(xlabel="m", ylabel="m")
  _limit(axes, drives)


def _make_panels(count: int, title: str) -> tuple[Figure, list[Axes]]:
  """Makes panels of equal scale in x and y, whose labels a plain layout would cut off."""
  figure, panels = figures.make_panels(count, title)
  figure.set_layout_engine("compressed")
  return figure, panels


def _save(figure: Figure, axes: Axes, path: Path) -> Path:
  """Writes the figure with a legend below it, where it covers no trajectory."""
  handles, labels = axes.get_legend_handles_labels()
  below = {"loc": "outside lower center", "ncols": 4}
  figure.legend(handles, labels, frameon=False, fontsize="small", **below)
  return figures.write_figure(figure, path)


def _limit(axes: Axes, drives: Sequence[Drive]) -> None:
  """Shows the trajectories and the way-points near them."""
  places = np.concatenate([each.places for each in drives])
  low, high = places.min(0) - MARGIN, places.max(0) + MARGIN
  points = drives[0].points
  shown = points[((points >= low - MARGIN) & (points <= high + MARGIN)).all(1)]
  both = np.concatenate([places, shown])
  low, high = both.min(0) - MARGIN / 2, both.max(0) + MARGIN / 2
  axes.set_xlim(low[0], high[0])
  axes.set_ylim(low[1], high[1])
  axes.set_aspect("equal", adjustable="box")
