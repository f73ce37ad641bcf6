"""Reads and writes a run's CSV tables, which gain rows and columns and can be truncated."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.files import RunFolderError
from mbrl_jax.runtime.storage.journal import EMPTY, Journal, PrefixChecksum, read_lines

Row = dict[str, float]

EVALUATIONS = "evaluations.csv"
"""Table of a run's evaluations, if the run counts them in steps."""
COUNTS = ("step", "seed", "episode", "trial", "length")
"""Columns of non-negative integers."""


def _line(cells: Iterable[str]) -> str:
  text = io.StringIO()
  csv.writer(text, lineterminator="").writerow(cells)
  return text.getvalue()


def _cell(value: float | None) -> str:
  """Formats integers as such and floats with the digits that restore them exactly."""
  if value is None:
    return ""
  return str(int(value)) if float(value).is_integer() else repr(float(value))


def read_table(path: Path | str, columns: Iterable[str] = ()) -> list[Row]:
  """Reads the rows of a table; empty cells are left out of their row.

  Args:
    path: the CSV file.
    columns: columns that every row must have, in addition to ``step``.

  Raises:
    OSError: the file does not exist.
    RunFolderError: it is not such a table; names the line and the column.
  """
  names, lines = _header(path)
  if lines.pop():
    raise RunFolderError(f"{path}, line {len(lines) + 2}: the line is incomplete.")
  rows: list[Row] = []
  last: dict[float | None, float] = {}
  for number, line in enumerate(lines, 2):
    row = _parse(path, number, line, names)
    for name in columns:
      if name not in row:
        raise RunFolderError(f"{path}, line {number}: {name!r} is missing.")
    if row["step"] <= last.get(row.get("seed"), -1):
      raise RunFolderError(
        f"{path}, line {number}: step {row['step']:.0f} is not after that of the previous row."
      )
    last[row.get("seed")] = row["step"]
    rows.append(row)
  return rows


def evaluations(folder: Path | str) -> list[Row]:
  """Returns the evaluations of a run: ``step``, perhaps ``seed``, ``eval/...``.

  If the run counts evaluations in trials, they are columns of the trials' table.

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
  """A CSV table of numbers whose first column is ``step``."""

  _columns: Sequence[str] = ()

  @property
  def checksum(self) -> PrefixChecksum:
    """See ``Journal``."""
    return self._rows.with_header(_line(self._columns).encode(), len(self._columns))

  def write(self, row: Mapping[str, float | None]) -> None:
    """Appends ``row`` and flushes; a new column is added to the whole file."""
    self.start()
    new = [name for name in row if name not in self._columns]
    if new:
      self._widen(new)
    line = _line([_cell(row.get(name)) for name in self._columns])
    self._append(line, _stripped(line))

  def _widen(self, new: list[str]) -> None:
    """Adds columns, empty in all earlier rows."""
    lines = self._path.read_text().splitlines()[1:] if self._columns else []
    self._columns = [*self._columns, *new]
    widened = [_line(self._columns), *(line + "," * len(new) for line in lines)]
    files.write_text(self._path, "\n".join(widened) + "\n")

  def _read(self, after: int, checksum: PrefixChecksum | None) -> list[str]:
    """Returns the header and the lines to keep, with the columns of that time."""
    names, lines = _header(self._path)
    lines = lines[:-1]  # the last one is empty, or incomplete after a kill
    if checksum is None:
      rows = [(line, _parse(self._path, i, line, names)) for i, line in enumerate(lines, 2)]
      kept = [_stripped(line) for line, row in rows if row["step"] <= after]
    else:
      names = names[: checksum.columns]
      kept = [_stripped(line) for line in lines[: checksum.rows]]
    self._columns, self._rows = names, EMPTY.extended(*(line.encode() for line in kept))
    full = [line + "," * (len(names) - 1 - line.count(",")) for line in kept]
    if checksum is not None and self.checksum != checksum:
      for number, line in enumerate(full, 2):
        _parse(self._path, number, line, names)
      raise checksum.mismatch(self._path, len(kept), after)
    return [_line(names), *full]


def finite(value: float) -> float | None:
  """Returns ``value``, or ``None`` if it is not finite, which JSON cannot represent."""
  return value if math.isfinite(value) else None


def _stripped(line: str) -> str:
  """Returns a row without the empty cells at its end, which later columns add."""
  return line.rstrip(",")


def _header(path: Path | str) -> tuple[list[str], list[str]]:
  """Returns a table's column names and its other lines, of which the last is incomplete."""
  header, *lines = read_lines(Path(path))
  names = _cells(header) if lines else []
  if "step" not in names or "" in names or len({*names}) < len(names):
    raise RunFolderError(f"{path}, line 1: not the header of a table with a column 'step'.")
  return names, lines


def _cells(line: str) -> list[str]:
  """Splits a line into cells; ``[]`` if it is not valid CSV."""
  try:
    return next(csv.reader([line]), [])
  except csv.Error:  # a cell of more than 128 KiB
    return []


def _parse(path: Path | str, number: int, line: str, names: list[str]) -> Row:
  """Parses one row."""
  cells = _cells(line)
  if len(cells) != len(names):
    raise RunFolderError(
      f"{path}, line {number}: {len(cells)} cells, expected {len(names)} columns."
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
    raise RunFolderError(f"{path}, line {number}: 'step' is missing.")
  return row


def _refuse(path: Path | str, number: int, name: str, cell: str) -> NoReturn:
  kind = "non-negative integer" if name in COUNTS else "number"
  raise RunFolderError(f"{path}, line {number}: {name} is {cell!r}, not a {kind}.")
