"""A CSV file that grows by rows and columns and can be cut back to a step."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from mbrl_jax.runtime import files

Row = dict[str, float]

EVALUATIONS = "evaluations.csv"
"""Table of a run's evaluations where they are counted in steps."""


def _line(cells: list[str]) -> str:
  text = io.StringIO()
  csv.writer(text, lineterminator="\n").writerow(cells)
  return text.getvalue()


def _cell(value: float | None) -> str:
  """Writes integers as such and floats with the digits that bring them back."""
  if value is None:
    return ""
  return str(int(value)) if float(value).is_integer() else repr(float(value))


def read_table(path: Path | str) -> list[Row]:
  """Reads the rows of a table; cells without a value are left out of their row."""
  with open(path, newline="") as file:
    rows = list(csv.DictReader(file))
  return [{k: float(v) for k, v in row.items() if v} for row in rows]


def evaluations(folder: Path | str) -> list[Row]:
  """Returns the evaluations of a run: ``step``, perhaps ``seed``, ``eval/return`` and its std.

  Where evaluations are counted in trials, they are columns of the trials' table.

  Args:
    folder: of the run.
  """
  own, trials = Path(folder) / EVALUATIONS, Path(folder) / "metrics.csv"
  path = own if own.exists() else trials
  rows = read_table(path) if path.exists() else []
  return [row for row in rows if "eval/return" in row]


class Table:
  """Rows of numbers by column; the first column is always ``step``."""

  def __init__(self, path: Path | str, after: int | None = None):
    """Opens a table.

    Args:
      path: the CSV file.
      after: keep the rows with ``step <= after``; ``None`` starts anew. A line
        that a kill cut short is dropped.
    """
    self._path = Path(path)
    self._columns: list[str] = []
    if after is not None and self._path.exists():
      self._cut(after)

  def write(self, row: Row) -> None:
    """Appends ``row`` and flushes; a column not seen before widens the whole file."""
    new = [name for name in row if name not in self._columns]
    if new:
      self._widen(new)
    with open(self._path, "a") as file:
      file.write(_line([_cell(row.get(name)) for name in self._columns]))

  def _widen(self, new: list[str]) -> None:
    lines = self._path.read_text().splitlines()[1:] if self._columns else []
    self._columns += new
    widened = [line + "," * len(new) for line in lines]
    files.write_text(
      self._path, "\n".join([_line(self._columns).rstrip("\n"), *widened]) + "\n"
    )

  def _cut(self, after: int) -> None:
    lines = self._path.read_text().splitlines(keepends=True)
    if not lines or not lines[0].endswith("\n"):
      return
    self._columns = next(csv.reader([lines[0]]))
    width = len(self._columns)
    whole = [line for line in lines[1:] if line.endswith("\n") and line.count(",") == width - 1]
    kept = [line for line in whole if float(line.split(",", 1)[0]) <= after]
    files.write_text(self._path, "".join([lines[0], *kept]))


def finite(value: float) -> float | None:
  """Returns ``value``, or ``None`` where JSON has no number for it."""
  return value if math.isfinite(value) else None
