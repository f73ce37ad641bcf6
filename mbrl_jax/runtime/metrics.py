"""Writes one row of metrics an episode to CSV, JSON lines and TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from mbrl_jax.runtime import files
from mbrl_jax.runtime.table import EVALUATIONS, Row, Table, finite


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
  ):
    """Opens the files in ``folder``.

    Args:
      folder: folder of the run.
      after: on resuming, the restored step: later rows are dropped.
      tags: ``str.format`` pattern of a row that prefixes its TensorBoard tags,
        such as ``"seed{seed:.0f}/"``.
      tracker: who is told as well; closed with the files.
    """
    import tensorboardX  # here, because importing it sets an environment variable

    folder = Path(folder)
    self._metrics = Table(folder / "metrics.csv", after)
    self._timing = Table(folder / "timing.csv", after)
    self._evaluations = Table(folder / EVALUATIONS, after)
    self._lines = folder / "metrics.jsonl"
    if after is not None and self._lines.exists():
      self._cut_lines(after)
    purge = None if after is None else after + 1
    # The suffix: a file of the same second would be overwritten.
    self._board = tensorboardX.SummaryWriter(
      str(folder / "tensorboard"), purge_step=purge, filename_suffix=f".{purge or 0}"
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
    with open(self._lines, "a") as file:
      file.write(json.dumps({k: finite(v) for k, v in row.items()}) + "\n")
    self._to_board(step, row, {**row, **{f"timing/{k}": v for k, v in timing.items()}})

  def evaluation(self, step: int, row: Row) -> None:
    """Appends an evaluation to its own table."""
    self._evaluations.write({"step": step, **row})
    self._to_board(step, row, row)

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

  def _cut_lines(self, after: int) -> None:
    kept = []
    for line in self._lines.read_text().splitlines(keepends=True):
      if line.endswith("\n") and json.loads(line)["step"] <= after:
        kept.append(line)
    files.write_text(self._lines, "".join(kept))
