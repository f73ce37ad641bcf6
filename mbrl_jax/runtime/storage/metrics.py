"""Writes one row of metrics an episode to CSV, JSON lines and TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.csv_log import EVALUATIONS, Row, Table, finite
from mbrl_jax.runtime.storage.journal import JSONLines, Seal

TIMING = "timing.csv"
FILES = {"metrics.csv": Table, TIMING: Table, EVALUATIONS: Table, "metrics.jsonl": JSONLines}


class Tracker(Protocol):
  """Whoever else is told of the metrics, see ``wandb_tracker``."""

  def log(self, step: int, values: Mapping[str, Any]) -> None:
    """Takes scalars of an environment step."""

  def close(self) -> None:
    """Takes no more."""


class MetricsWriter:
  """The metric files of one run.

  ``metrics.csv`` and ``metrics.jsonl`` hold what the seed decides and are equal
  byte for byte between a run and the same run resumed; what the clock decides
  goes to ``timing.csv``. Evaluations that no episode waits for go to
  ``evaluations.csv``. TensorBoard gets all, and so does a tracker.
  """

  def __init__(
    self,
    folder: Path | str,
    after: int | None = None,
    tags: str = "",
    tracker: Tracker | None = None,
    seals: Mapping[str, Seal] | None = None,
  ):
    """Opens the files in ``folder``; the first new row, or ``start``, changes them.

    Args:
      folder: folder of the run.
      after: on resuming, the restored step: later rows are dropped.
      tags: ``str.format`` pattern of a row that prefixes its TensorBoard tags,
        such as ``"seed{seed:.0f}/"``.
      tracker: who is told as well; closed with the files.
      seals: by name of the file what the restored checkpoint remembers of it.

    Raises:
      RunFolderError: rows up to the restored step are missing or damaged.
    """
    import tensorboardX  # here, because importing it sets an environment variable

    self._folder, seals = Path(folder), seals or {}
    self._metrics, self._timing, self._evaluations, self._lines = self._files = [
      kind(self._folder / name, after, seals.get(name)) for name, kind in FILES.items()
    ]
    if seals and self._timing.seal.rows != self._metrics.seal.rows:
      path, expected = self._folder / TIMING, seals["metrics.csv"]
      raise expected.broken(path, self._timing.seal.rows, after or 0)
    purge = None if after is None else after + 1
    # The suffix: a file of the same second would be overwritten.
    self._board = tensorboardX.SummaryWriter(
      str(self._folder / "tensorboard"), purge_step=purge, filename_suffix=f".{purge or 0}"
    )
    self._tags, self._tracker = tags, tracker

  def write(self, step: int, row: Row, timing: Row | None = None) -> None:
    """Appends a row to every file and flushes them.

    Args:
      step: environment steps taken.
      row: metrics that the seed decides.
      timing: metrics that the clock decides.
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
    """Drops the rows after the restored step, which the first new row does otherwise."""
    for file in self._files:
      file.start()

  def sync(self) -> dict[str, Seal]:
    """Forces the rows to the disk.

    Returns:
      What a checkpoint is to remember of each file; nothing of what the clock decides.
    """
    for file in self._files:
      file.sync()
    files.sync(self._folder)
    seals = {name: file.seal for name, file in zip(FILES, self._files, strict=True)}
    del seals[TIMING]
    return seals

  def close(self) -> None:
    """Closes the TensorBoard file and the tracker; the others are closed after each row."""
    self._board.close()
    if self._tracker is not None:
      self._tracker.close()

  def _to_board(self, step: int, row: Row, values: Row) -> None:
    keys, prefix = ("step", "seed", "timing/step", "timing/seed"), self._tags.format(**row)
    values = {prefix + name: value for name, value in values.items() if name not in keys}
    for name, value in values.items():
      self._board.add_scalar(name, value, step)
    self._board.flush()
    if self._tracker is not None:
      self._tracker.log(step, values)
