"""Appends rows to text files, truncates them to a checkpoint and verifies their checksums."""

from __future__ import annotations

import abc
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.files import RunFolderError


class PrefixChecksum(NamedTuple):
  """Checksum of a file's first rows, as a checkpoint stores it.

  Attributes:
    rows: number of rows.
    crc: CRC-32 of the rows, and of their column names.
    columns: number of columns; 0: the file has none.
  """

  rows: int
  crc: int
  columns: int = 0

  def extended(self, *rows: bytes) -> PrefixChecksum:
    """Returns the checksum with more rows."""
    crc = self.crc
    for row in rows:
      crc = zlib.crc32(row, crc)
    return PrefixChecksum(self.rows + len(rows), crc)

  def with_header(self, header: bytes, columns: int) -> PrefixChecksum:
    """Returns the checksum of the rows and of their column names."""
    return PrefixChecksum(self.rows, zlib.crc32(header, self.crc), columns)

  def mismatch(self, path: Path, found: int, step: int) -> RunFolderError:
    """Makes the error for a file whose first rows do not match.

    Args:
      path: the file.
      found: number of rows found.
      step: of the checkpoint that stores the checksum.
    """
    what = f"its first {self.rows} rows are not those that the run wrote"
    if found < self.rows:
      what = f"{found} of {self.rows} rows are left" if path.exists() else "it is missing"
    return RunFolderError(
      f"{path} is damaged or was changed: {what} up to step {step}, from which to continue. "
      "Restore the file, or continue from an earlier checkpoint with --step."
    )


EMPTY = PrefixChecksum(0, 0)
"""Checksum of a file without rows."""


class Journal(abc.ABC):
  """A text file in which each line belongs to an environment step."""

  def __init__(
    self, path: Path | str, after: int | None = None, checksum: PrefixChecksum | None = None
  ):
    """Reads the rows to keep; does not change the file yet.

    Args:
      path: the file.
      after: keep the rows with ``step <= after``; ``None`` or 0: none. An incomplete last
        line, left by a kill, is dropped.
      checksum: of the rows to keep, if a checkpoint stores it; later rows are then dropped
        unread.

    Raises:
      RunFolderError: the rows to keep are damaged, or do not match the checksum.
    """
    self._path, self._rows = Path(path), EMPTY
    self._kept: Sequence[str] | None = []
    exists = self._path.exists()
    if after and (checksum.rows if checksum else exists):
      if checksum and not exists:
        raise checksum.mismatch(self._path, 0, after)
      self._kept = self._read(after, checksum)

  @property
  def checksum(self) -> PrefixChecksum:
    """Checksum of the rows written so far."""
    return self._rows

  @abc.abstractmethod
  def write(self, row: Mapping[str, float | None]) -> None:
    """Appends ``row`` and flushes."""

  def start(self) -> None:
    """Drops the rows that are not kept; later calls do nothing."""
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
  def _read(self, after: int, checksum: PrefixChecksum | None) -> list[str]:
    """Returns the lines to keep."""

  def _append(self, line: str, content: str) -> None:
    """Appends ``line``; ``content`` is the part that the checksum covers."""
    self._rows = self._rows.extended(content.encode())
    with open(self._path, "a") as file:
      file.write(f"{line}\n")


class JSONLines(Journal):
  """JSON objects with a ``step``, one per line."""

  def write(self, row: Mapping[str, float | None]) -> None:
    """Appends ``row`` and flushes."""
    self.start()
    line = json.dumps(row)
    self._append(line, line)

  def _read(self, after: int, checksum: PrefixChecksum | None) -> list[str]:
    lines = read_lines(self._path)[:-1]
    if checksum is None:
      kept = [line for i, line in enumerate(lines, 1) if self._step(i, line) <= after]
    else:
      kept = lines[: checksum.rows]
    self._rows = EMPTY.extended(*(line.encode() for line in kept))
    if checksum is not None and self.checksum != checksum:
      for number, line in enumerate(kept, 1):
        self._step(number, line)
      raise checksum.mismatch(self._path, len(kept), after)
    return kept

  def _step(self, number: int, line: str) -> float:
    """Returns the step of a line."""
    try:
      return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError) as error:
      raise RunFolderError(
        f"{self._path}, line {number}: not a JSON object with a step."
      ) from error


def read_lines(path: Path) -> list[str]:
  """Returns the lines of a file; the last is what follows the last line end, often empty.

  Raises:
    RunFolderError: the file is not text; names the line.
  """
  data = path.read_bytes()
  try:
    return data.decode().replace("\r\n", "\n").split("\n")
  except UnicodeDecodeError as error:
    number = data[: error.start].count(b"\n") + 1
    raise RunFolderError(
      f"{path}, line {number}: it contains bytes that are not UTF-8 text."
    ) from error
