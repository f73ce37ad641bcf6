"""Plots a sweep: plans per second and fraction of the peak over every axis.

Does not use ``pyplot``, like ``mbrl_jax.runtime.rendering.plots``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.benchmark.grid import AXES
from mbrl_jax.runtime.rendering import plots
from mbrl_jax.runtime.rendering.plots import COLOURS

Row = dict[str, Any]

LABELS = {
  "plans": "candidate plans",
  "particles": "particles per plan",
  "horizon": "horizon (control steps)",
  "nets": "nets (members x width x layers)",
  "dtype": "precision of matrix products",
  "devices": "devices",
}


def draw(path: Path | str, rows: list[Row], centre: Row, title: str) -> Path | None:
  """Plots two panels, one above the other, for every axis with more than one value.

  A failed row is a cross labelled with its status.

  Args:
    path: PNG file to write.
    rows: rows of the sweep.
    centre: values of the axes at the centre of the sweep.
    title: title of the figure.

  Returns:
    The path, or ``None`` if no axis has more than one value.
  """
  lines = {name: rows_along(rows, centre, name) for name in AXES}
  swept = [name for name in AXES if len(lines[name]) > 1]
  if not swept:
    return None
  figure = Figure(figsize=(3.2 * len(swept) + 0.6, 5.6), layout="constrained")
  figure.suptitle(title)
  grid = figure.subplots(2, len(swept), squeeze=False, sharex="col", sharey="row")
  for upper, lower, name in zip(*grid, swept, strict=True):
    _panel(upper, lines[name], name, "plans_per_second")
    _panel(lower, lines[name], name, "of_peak")
    lower.set_xlabel(LABELS[name])
  grid[0, 0].set_yscale("log")  # all panels of a row share their axis
  grid[1, 0].set_ylim(bottom=0)
  grid[0, 0].set_ylabel("plans scored per second")
  grid[1, 0].set_ylabel("fraction of the measured peak")
  return plots.write_figure(figure, path)


def rows_along(rows: list[Row], centre: Row, axis: str) -> list[Row]:
  """Returns the centre and the rows that differ from it in ``axis`` only, sorted by it."""
  others = [name for name in AXES if name != axis]
  found = [row for row in rows if all(row[name] == centre[name] for name in others)]
  numeric = isinstance(centre[axis], int)
  return sorted(found, key=lambda row: row[axis]) if numeric else found


def _panel(axes: Axes, rows: list[Row], axis: str, column: str) -> None:
  """Plots one column of the rows over one axis."""
  axes.grid(color="0.9")
  axes.set_axisbelow(True)
  axes.spines[["top", "right"]].set_visible(False)
  numeric = isinstance(rows[0][axis], int)
  places = [row[axis] for row in rows] if numeric else list(range(len(rows)))
  points = list(zip(places, rows, strict=True))
  measured = [(x, row[column]) for x, row in points if row["status"] == "ok"]
  axes.plot(
    [x for x, _ in measured], [y for _, y in measured], "o-", color=COLOURS[0], markersize=4
  )
  for x, row in points:
    if row["status"] != "ok":
      _mark_failed(axes, x, row["status"].partition(":")[0])
  if numeric:
    axes.set_xscale("log")
  axes.set_xticks(places, [str(row[axis]) for row in rows], rotation=45, ha="right")
  axes.minorticks_off()


def _mark_failed(axes: Axes, x: float, text: str) -> None:
  """Marks a row that failed with a cross and its status."""
  at = {"color": COLOURS[1], "transform": axes.get_xaxis_transform()}
  axes.plot([x], [0.03], "x", **at)
  axes.text(x, 0.08, text, rotation=90, ha="center", va="bottom", fontsize="x-small", **at)
