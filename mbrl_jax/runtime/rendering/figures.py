"""Makes matplotlib figures in the house style and writes them to files.

Figures are made without ``pyplot``: no backend is chosen, no global state is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from mbrl_jax.runtime.storage import files

COLOURS = ["#3366aa", "#cc6633", "#339966", "#aa3377", "#777777", "#bb9900", "#33aacc"]
MAX_LABELS = 8
"""Largest number of labels with the legend inside the axes."""


def make_figure(title: str, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
  """Makes a figure with one pair of axes."""
  figure = Figure(figsize=(7, 4.5), layout="constrained")
  axes = figure.subplots()
  axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
  style_axes(axes)
  return figure, axes


def make_panels(count: int, title: str) -> tuple[Figure, list[Axes]]:
  """Makes a figure with ``count`` panels, three in a row."""
  columns = min(count, 3)
  rows = -(-count // columns)
  figure = Figure(figsize=(4 * columns, 2.8 * rows), layout="constrained")
  figure.suptitle(title)
  panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
  for axes in panels[count:]:
    axes.set_visible(False)
  for axes in panels[:count]:
    style_axes(axes)
  return figure, panels[:count]


def style_axes(axes: Axes) -> None:
  """Adds a grid and removes the upper and the right spine."""
  axes.grid(color="0.9")
  axes.set_axisbelow(True)
  axes.spines[["top", "right"]].set_visible(False)


def save_figure(figure: Figure, axes: Axes, path: Path | str) -> Path:
  """Adds the legend and writes the file."""
  labels = axes.get_legend_handles_labels()[1]
  if len(labels) > MAX_LABELS:
    figure.set_figwidth(figure.get_figwidth() + 3)
    figure.legend(loc="outside right upper", frameon=False, fontsize="small")
  elif labels:
    axes.legend(frameon=False, fontsize="small")
  return write_figure(figure, path)


def write_figure(figure: Figure, path: Path | str) -> Path:
  """Writes a figure atomically in the format of the file's suffix, PNG without one."""
  path = Path(path)
  for text in _texts(figure):
    text.set_parse_math(False)  # a $ in a run's name is not mathtext
  path.parent.mkdir(parents=True, exist_ok=True)
  kind = path.suffix[1:] or "png"
  files.write_atomic(path, lambda file: figure.savefig(file, format=kind, dpi=120))
  return path


def _texts(figure: Figure) -> Iterator[Text]:
  """Yields titles, labels and legends, but not tick labels, which need mathtext for powers."""
  yield from figure.texts
  legends = [*figure.legends]
  for axes in figure.axes:
    yield from (axes.title, axes.xaxis.label, axes.yaxis.label)
    legend = axes.get_legend()
    legends += [] if legend is None else [legend]
  for legend in legends:
    yield from legend.get_texts()
