"""Writes one row of metrics per episode to CSV, JSON lines and TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.csv_log import EVALUATIONS, Row, Table, finite
from mbrl_jax.runtime.storage.journal import Journal, JSONLines, PrefixChecksum

TIMING = "timing.csv"
FILES: dict[str, type[Journal]] = {
  "metrics.csv": Table,
  TIMING: Table,
  EVALUATIONS: Table,
  "metrics.jsonl": JSONLines,
}


class Tracker(Protocol):
  """An additional destination of the metrics, see ``wandb_tracker``."""

  def log(self, step: int, values: Mapping[str, Any]) -> None:
    """Logs scalars of an environment step."""

  def close(self) -> None:
    """Finishes logging."""


class MetricsWriter:
  """The metric files of one run.

  ``metrics.csv`` and ``metrics.jsonl`` hold the metrics that the seed determines, byte for byte
  the same in a resumed run; wall-clock metrics go to ``timing.csv``. Evaluations counted in
  steps go to ``evaluations.csv``. TensorBoard and a tracker receive everything.
  """

  def __init__(
    self,
    folder: Path | str,
    after: int | None = None,
    tags: str = "",
    tracker: Tracker | None = None,
    checksums: Mapping[str, PrefixChecksum] | None = None,
  ):
    """Opens the files in ``folder``; the first new row, or ``start``, changes them.

    Args:
      folder: folder of the run.
      after: the restored step when resuming; later rows are dropped.
      tags: ``str.format`` pattern of a row, prefix of its TensorBoard tags, such as
        ``"seed{seed:.0f}/"``.
      tracker: additional destination; closed with the files.
      checksums: the restored checkpoint's checksums by file name.

    Raises:
      RunFolderError: rows up to the restored step are missing or damaged.
    """
    import tensorboardX  # here, because importing it sets an environment variable

    self._folder, checksums = Path(folder), checksums or {}
    self._metrics, self._timing, self._evaluations, self._lines = self._files = [
      kind(self._folder / name, after, checksums.get(name)) for name, kind in FILES.items()
    ]
    if checksums and self._timing.checksum.rows != self._metrics.checksum.rows:
      path, expected = self._folder / TIMING, checksums["metrics.csv"]
      raise expected.mismatch(path, self._timing.checksum.rows, after or 0)
    purge = None if after is None else after + 1
    # Without the suffix a file of the same second would be overwritten.
    self._board = tensorboardX.SummaryWriter(
      str(self._folder / "tensorboard"), purge_step=purge, filename_suffix=f".{purge or 0}"
    )
    self._tags, self._tracker = tags, tracker

  def write(self, step: int, row: Row, timing: Row | None = None) -> None:
    """Appends a row to every file and flushes them.

    Args:
      step: environment steps taken.
      row: metrics that the seed determines.
      timing: wall-clock metrics.
    """
    row = {"step": step, **{k: float(v) for k, v in row.items()}}
    timing = {"step": step, **(timing or {})}
    self._metrics.write(row)
    self._timing.write(timing)
    self._lines.write({k: finite(v) for k, v in row.items()})
    self._to_board(step, row, {**row, **{f"timing/{k}": v for k, v in timing.items()}})

  def evaluation(self, step: int, row: Row) -> None:
    """Appends an evaluation to its own table."""
    self._evaluations.write({"step": step, **row})
    self._to_board(step, row, row)

  def start(self) -> None:
    """Drops the rows after the restored step, as the first new row would."""
    for file in self._files:
      file.start()

  def sync(self) -> dict[str, PrefixChecksum]:
    """Forces the rows to the disk.

    Returns:
      The checksum of each file for a checkpoint, except that of the wall-clock metrics.
    """
    for file in self._files:
      file.sync()
    files.sync(self._folder)
    checksums = {name: file.checksum for name, file in zip(FILES, self._files, strict=True)}
    del checksums[TIMING]
    return checksums

  def close(self) -> None:
    """Closes the TensorBoard file and the tracker; the other files are not kept open."""
    self._board.close()
    if self._tracker is not None:
      self._tracker.close()

  def _to_board(self, step: int, row: Row, values: Row) -> None:
    """Sends values to TensorBoard and the tracker; ``row`` fills in the tags."""
    keys, prefix = ("step", "seed", "timing/step", "timing/seed"), self._tags.format(**row)
    values = {prefix + name: value for name, value in values.items() if name not in keys}
    for name, value in values.items():
      self._board.add_scalar(name, value, step)
    self._board.flush()
    if self._tracker is not None:
      self._tracker.log(step, values)
