"""Shows the progress of a run: a live bar on a terminal, and a line for each trial.

Trials of one compiled call share a line if there are more than ``MAX_LINES``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import rich.console
import rich.progress

from mbrl_jax.runtime.storage.csv_log import Row

MAX_LINES = 8
"""Largest number of trials of a seed in one compiled call that get a line each."""
RECENT = 3
"""Latest trials, or compiled calls with several, that the ETA is estimated from."""


def duration(seconds: float) -> str:
  """Formats a duration as minutes and seconds, with hours if there are any.

  Example:
    >>> duration(65), duration(7200)
    ('1:05', '2:00:00')
  """
  minutes, rest = divmod(round(max(seconds, 0.0)), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Progress:
  """Progress display of one run."""

  def __init__(self, total: int, start: int = 0, console: rich.console.Console | None = None):
    """Starts the display.

    Args:
      total: environment steps of the whole run.
      start: environment steps already taken, on resuming.
      console: where to write; ``None`` is standard output.
    """
    self._console = console or rich.console.Console(
      highlight=False, soft_wrap=True, emoji=False
    )
    self._total = total
    self._reached = start, time.perf_counter()
    self._marks = [self._reached]
    self._bar: rich.progress.Progress | None = None
    if self._console.is_terminal:
      self._bar = _make_bar(self._console)
      self._task = self._bar.add_task("starting", total=total, completed=start)
      self._bar.start()

  def note(self, text: str) -> None:
    """Prints a line."""
    self._console.print(text, markup=False)

  def compiled(self, what: str, seconds: float) -> None:
    """Reports the time of a compilation and excludes it from the ETA."""
    self.note(f"compiled {what} in {seconds:.1f} s")
    self._marks[-1] = (self._marks[-1][0], time.perf_counter())

  def set_total(self, total: int) -> None:
    """Sets the expected steps of the whole run."""
    self._total = total
    if self._bar:
      self._bar.update(self._task, total=total)

  def advance(self, step: int) -> None:
    """Moves the bar to ``step``."""
    self._reached = step, time.perf_counter()
    if self._bar:
      self._bar.update(self._task, completed=step)

  def trials(
    self, steps: Sequence[int], rows: Sequence[Row], timing: Row, error: float | None = None
  ) -> None:
    """Reports the trials of one seed that a compiled call finished.

    Args:
      steps: environment steps at the end of each.
      rows: their metrics: ``trial``, ``random``, ``return``, perhaps ``best`` and ``success``.
      timing: ``seconds`` and perhaps ``plans_per_second`` of the call.
      error: model error, if there is a model.
    """
    if len(rows) > MAX_LINES:
      self._report(steps[-1], rows, timing, error)
      return
    for step, row in zip(steps, rows, strict=True):
      self._report(step, [row], timing, error)

  def _report(self, step: int, rows: Sequence[Row], timing: Row, error: float | None) -> None:
    """Prints a line and moves the bar."""
    row = rows[-1]
    if step > self._reached[0]:
      self._reached = step, time.perf_counter()
    if row["random"]:
      # Random actions need no planning: their speed predicts nothing about later trials.
      self._marks = [self._reached]
    elif self._reached[0] > self._marks[-1][0]:  # once for each compiled call
      self._marks = [*self._marks, self._reached][-RECENT - 1 :]
    line = _line(step, rows, timing, error, self._eta())
    self._console.print(line, markup=False)
    if self._bar:
      self._bar.update(self._task, completed=step, description=f"return {row['return']:.4g}")

  def evaluation(self, step: int, row: Row) -> None:
    """Reports an evaluation that belongs to no trial."""
    mean, std = row["eval/return"], row["eval/return_std"]
    line = f"{_seed_label(row)}eval      | steps {step:>7} | return {mean:9.2f} ± {std:.2f}"
    success = f" | success {row['eval/success']:4.0%}" if "eval/success" in row else ""
    self.note(line + success)

  def close(self) -> None:
    """Ends the live display."""
    if self._bar:
      self._bar.stop()

  def _eta(self) -> float | None:
    """Returns the estimated seconds left, ``None`` without a recent trial."""
    (first, begun), (last, ended) = self._marks[0], self._marks[-1]
    if last == first:
      return None
    return (self._total - last) * (ended - begun) / (last - first)


def _make_bar(console: rich.console.Console) -> rich.progress.Progress:
  return rich.progress.Progress(
    rich.progress.TextColumn("{task.description}"),
    rich.progress.BarColumn(),
    rich.progress.MofNCompleteColumn(),
    rich.progress.TextColumn("steps"),
    rich.progress.TimeElapsedColumn(),
    console=console,
    transient=True,
  )


def _line(
  step: int, rows: Sequence[Row], timing: Row, error: float | None, eta: float | None
) -> str:
  """Formats the line of one trial, or of several with their mean and range."""
  row, returns = rows[-1], [row["return"] for row in rows]
  name = "random " if row["random"] else f"trial {row['trial']:>3.0f}"
  parts = [
    f"{_seed_label(row)}{name}",
    f"steps {step:>7}",
    f"return {statistics.mean(returns):9.2f}",
  ]
  if len(rows) > 1:
    parts[-1] += f" in {len(rows)} episodes, {min(returns):.2f} to {max(returns):.2f}"
  if "success" in row:
    parts.append(f"success {statistics.mean(row['success'] for row in rows):4.0%}")
  if "eval/return" in row:
    parts.append(f"eval {row['eval/return']:9.2f}")
  if "eval/success" in row:
    parts.append(f"eval success {row['eval/success']:4.0%}")
  if "best" in row:
    parts.append(f"best {row['best']:9.2f}")
  if error is not None:
    parts.append(f"model error {error:.4g}")
  if "plans_per_second" in timing:
    parts.append(f"{timing['plans_per_second']:.1f} steps/s")
  parts.append(f"{timing['seconds']:.1f} s")
  if eta is not None:
    parts.append(f"ETA {duration(eta)}")
  return " | ".join(parts)


def _seed_label(row: Row) -> str:
  return f"seed {row['seed']:.0f} " if "seed" in row else ""
