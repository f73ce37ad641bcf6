"""Redraws the picture of running runs."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence

import rich.console

from mbrl_jax.runtime.storage.run_folder import RunFolder

FIRST = 60.0
"""Seconds before the first picture, which also loads matplotlib."""
INTERVAL = 30.0
"""Seconds between two pictures, at least."""
SHARE = 0.03
"""Largest share of the time that pictures may take."""


def redraw(folders: Sequence[RunFolder], task: str, console: rich.console.Console) -> Redraw:
  """Redraws ``plots/training.png`` of runs on the task of this name."""

  def draw(folder: RunFolder) -> None:
    from experiments.analysis import pictures  # loads matplotlib, which would delay the start

    pictures.draw_training(folder, task)

  return Redraw([functools.partial(draw, folder) for folder in folders], console)


class Redraw:
  """Redraws pictures now and then, to call after each chunk of a run.

  Slow pictures are drawn less often, so that they take no more than ``SHARE`` of the time. A
  failure is reported once.
  """

  def __init__(
    self,
    draws: Sequence[Callable[[], object]],
    console: rich.console.Console,
    clock: Callable[[], float] = time.perf_counter,
  ):
    """Starts the interval.

    Args:
      draws: each draws one picture.
      console: where to report a failure.
      clock: returns seconds.
    """
    self._draws, self._console, self._clock = draws, console, clock
    self._due, self._failed = clock() + FIRST, False

  def __call__(self) -> None:
    """Draws all pictures if it is time to."""
    start = self._clock()
    if start < self._due:
      return
    for draw in self._draws:
      try:
        draw()
      except Exception as error:  # whatever it is, the run matters more
        self._report(error)
    end = self._clock()
    self._due = end + max(INTERVAL, (end - start) * (1 / SHARE - 1))

  def _report(self, error: Exception) -> None:
    if not self._failed:
      name = type(error).__name__
      self._console.print(f"no picture of the run so far: {name}: {error}", markup=False)
    self._failed = True
