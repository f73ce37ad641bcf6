"""Files that grow line by line, are cut back to a checkpoint, and are known again by it."""

from __future__ import annotations

import abc
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.files import RunFolderError


class Seal(NamedTuple):
  """What a checkpoint remembers of a file: its first rows.

  Attributes:
    rows: how many.
    crc: CRC-32 of them, and of the names of their columns.
    columns: that they have, where they have any.
  """

  rows: int
  crc: int
  columns: int = 0

  def then(self, *rows: bytes) -> Seal:
    """Returns the seal with more rows."""
    crc = self.crc
    for row in rows:
      crc = zlib.crc32(row, crc)
    return Seal(self.rows + len(rows), crc)

  def under(self, head: bytes, columns: int) -> Seal:
    """Returns the seal of rows that stand under the names of columns."""
    return Seal(self.rows, zlib.crc32(head, self.crc), columns)

  def broken(self, path: Path, found: int, step: int) -> RunFolderError:
    """Returns an error that says that the first rows of a file are not these.

    Args:
      path: the file.
      found: rows that are left of these.
      step: of the checkpoint that remembers them.
    """
    what = f"its first {self.rows} rows are not those that the run wrote"
    if found < self.rows:
      what = f"{found} of {self.rows} rows are left" if path.exists() else "it is missing"
    return RunFolderError(
      f"{path} is damaged or was changed: {what} up to step {step}, from which to continue. "
      "Put it back as it was, or continue from an earlier checkpoint with --step."
    )


NOTHING = Seal(0, 0)
"""Of a file without rows."""


class Journal(abc.ABC):
  """Lines that each belong to an environment step."""

  def __init__(self, path: Path | str, after: int | None = None, seal: Seal | None = None):
    """Reads what is to be kept of a file; changes nothing yet.

    Args:
      path: the file.
      after: keep the rows with ``step <= after``; ``None`` or 0 starts anew. A line
        that a kill cut short is dropped.
      seal: of the rows to keep, where a checkpoint remembers it: those after them are
        dropped unread.

    Raises:
      RunFolderError: what is to be kept is damaged, or is not what the seal says.
    """
    self._path, self._rows = Path(path), NOTHING
    self._kept: Sequence[str] | None = []
    if after and (seal.rows if seal else self._path.exists()):
      if not self._path.exists():
        raise seal.broken(self._path, 0, after)
      self._kept = self._read(after, seal)

  @property
  def seal(self) -> Seal:
    """What a checkpoint is to remember of the rows written so far."""
    return self._rows

  def start(self) -> None:
    """Drops what is not kept, unless that has been done."""
    if self._kept:
      files.write_text(self._path, "".join(f"{line}\n" for line in self._kept))
    elif self._kept is not None:
      self._path.unlink(missing_ok=True)
    self._kept = None

  def sync(self) -> None:
    """Forces the rows to the disk."""
    if self._path.exists():
      files.sync(self._path)

  @abc.abstractmethod
  def _read(self, after: int, seal: Seal | None) -> list[str]:
    """Returns the lines to keep."""

  def _append(self, line: str, sealed: str) -> None:
    self._rows = self._rows.then(sealed.encode())
    with open(self._path, "a") as file:
      file.write(f"{line}\n")


class JSONLines(Journal):
  """JSON objects, one a line, that have a ``step`` each."""

  def write(self, row: Mapping[str, Any]) -> None:
    """Appends ``row`` and flushes."""
    self.start()
    line = json.dumps(row)
    self._append(line, line)

  def _read(self, after: int, seal: Seal | None) -> list[str]:
    lines = read_lines(self._path)[:-1]
    if seal is None:
      kept = [line for i, line in enumerate(lines, 1) if self._step(i, line) <= after]
    else:
      kept = lines[: seal.rows]
    self._rows = NOTHING.then(*(line.encode() for line in kept))
    if seal is not None and self.seal != seal:
      for number, line in enumerate(kept, 1):
        self._step(number, line)
      raise seal.broken(self._path, len(kept), after)
    return kept

  def _step(self, number: int, line: str) -> float:
    try:
      return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError) as error:
      raise RunFolderError(
        f"{self._path}, line {number}: it is not a JSON object with a step."
      ) from error


def read_lines(path: Path) -> list[str]:
  """Returns the lines of a file without their ends, and last what follows the last end.

  Raises:
    RunFolderError: it is not text; names the line.
  """
  data = path.read_bytes()
  try:
    return data.decode().replace("\r\n", "\n").split("\n")
  except UnicodeDecodeError as error:
    number = data[: error.start].count(b"\n") + 1
    raise RunFolderError(
      f"{path}, line {number}: there are bytes that are not text."
    ) from error
