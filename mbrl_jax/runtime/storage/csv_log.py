"""Tables of a run: CSV files that grow by rows and columns and can be cut back to a step."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.files import RunFolderError
from mbrl_jax.runtime.storage.journal import NOTHING, Journal, Seal, read_lines

Row = dict[str, float]

EVALUATIONS = "evaluations.csv"
"""Table of a run's evaluations where they are counted in steps."""
COUNTS = ("step", "seed", "episode", "trial", "length")
"""Columns of integers that are not negative."""


def _line(cells: Iterable[str]) -> str:
  text = io.StringIO()
  csv.writer(text, lineterminator="").writerow(cells)
  return text.getvalue()


def _cell(value: float | None) -> str:
  """Writes integers as such and floats with the digits that bring them back."""
  if value is None:
    return ""
  return str(int(value)) if float(value).is_integer() else repr(float(value))


def read_table(path: Path | str, columns: Iterable[str] = ()) -> list[Row]:
  """Reads the rows of a table; cells without a value are left out of their row.

  Args:
    path: the CSV file.
    columns: that every row must have, besides ``step``.

  Raises:
    OSError: there is no such file.
    RunFolderError: it is not such a table: names the line and the column.
  """
  names, lines = _head(path)
  if lines.pop():
    raise RunFolderError(f"{path}, line {len(lines) + 2}: it is cut short.")
  rows, last = [], {}
  for number, line in enumerate(lines, 2):
    row = _parse(path, number, line, names)
    for name in columns:
      if name not in row:
        raise RunFolderError(f"{path}, line {number}: there is no value of {name!r}.")
    if row["step"] <= last.get(row.get("seed"), -1):
      raise RunFolderError(
        f"{path}, line {number}: step {row['step']:.0f} is not after that of the row before it."
      )
    last[row.get("seed")] = row["step"]
    rows.append(row)
  return rows


def evaluations(folder: Path | str) -> list[Row]:
  """Returns the evaluations of a run: ``step``, perhaps ``seed``, ``eval/return`` and its std.

  Where evaluations are counted in trials, they are columns of the trials' table.

  Args:
    folder: of the run.

  Raises:
    RunFolderError: see ``read_table``.
  """
  own, trials = Path(folder) / EVALUATIONS, Path(folder) / "metrics.csv"
  path = own if own.exists() else trials
  rows = read_table(path) if path.exists() else []
  return [row for row in rows if "eval/return" in row]


class Table(Journal):
  """Rows of numbers by column; the first column is always ``step``."""

  _columns: Sequence[str] = ()

  @property
  def seal(self) -> Seal:
    """See ``Journal``."""
    return self._rows.under(_line(self._columns).encode(), len(self._columns))

  def write(self, row: Row) -> None:
    """Appends ``row`` and flushes; a column not seen before widens the whole file."""
    self.start()
    new = [name for name in row if name not in self._columns]
    if new:
      self._widen(new)
    line = _line([_cell(row.get(name)) for name in self._columns])
    self._append(line, _bare(line))

  def _widen(self, new: list[str]) -> None:
    lines = self._path.read_text().splitlines()[1:] if self._columns else []
    self._columns = [*self._columns, *new]
    widened = [_line(self._columns), *(line + "," * len(new) for line in lines)]
    files.write_text(self._path, "\n".join(widened) + "\n")

  def _read(self, after: int, seal: Seal | None) -> list[str]:
    """Returns the lines to keep, the head first, with the columns that there were then."""
    names, lines = _head(self._path)
    lines = lines[:-1]  # the last one is empty, or a kill cut it short
    if seal is None:
      rows = [(line, _parse(self._path, i, line, names)) for i, line in enumerate(lines, 2)]
      kept = [_bare(line) for line, row in rows if row["step"] <= after]
    else:
      names, kept = names[: seal.columns], [_bare(line) for line in lines[: seal.rows]]
    self._columns, self._rows = names, NOTHING.then(*(line.encode() for line in kept))
    full = [line + "," * (len(names) - 1 - line.count(",")) for line in kept]
    if seal is not None and self.seal != seal:
      for number, line in enumerate(full, 2):
        _parse(self._path, number, line, names)
      raise seal.broken(self._path, len(kept), after)
    return [_line(names), *full]


def finite(value: float) -> float | None:
  """Returns ``value``, or ``None`` where JSON has no number for it."""
  return value if math.isfinite(value) else None


def _bare(line: str) -> str:
  """Returns a row without the empty cells at its end, which columns added later bring."""
  return line.rstrip(",")


def _head(path: Path | str) -> tuple[list[str], list[str]]:
  """Returns the names of a table's columns and the lines below, the last one unfinished."""
  head, *lines = read_lines(Path(path))
  names = _cells(head) if lines else []
  if "step" not in names or "" in names or len({*names}) < len(names):
    raise RunFolderError(f"{path}, line 1: it is not the head of a table with a column 'step'.")
  return names, lines


def _cells(line: str) -> list[str]:
  try:
    return next(csv.reader([line]), [])
  except csv.Error:  # a cell of more than 128 KiB
    return []


def _parse(path: Path | str, number: int, line: str, names: list[str]) -> Row:
  """Reads one row."""
  cells = _cells(line)
  if len(cells) != len(names):
    raise RunFolderError(
      f"{path}, line {number}: there are {len(cells)} cells in {len(names)} columns."
    )
  row: Row = {}
  for name, cell in zip(names, cells, strict=True):
    if not cell:
      continue
    try:
      row[name] = float(cell)
    except ValueError:
      row[name] = math.nan if name in COUNTS else _refuse(path, number, name, cell)
    if name in COUNTS and not (row[name] >= 0 and row[name].is_integer()):
      _refuse(path, number, name, cell)
  if "step" not in row:
    raise RunFolderError(f"{path}, line {number}: there is no value of 'step'.")
  return row


def _refuse(path: Path | str, number: int, name: str, cell: str) -> float:
  kind = "count" if name in COUNTS else "number"
  raise RunFolderError(f"{path}, line {number}: {name} is {cell!r}, which is not a {kind}.")
