"""Measures the time that trials take."""

from __future__ import annotations

import time

import numpy as np

from mbrl_jax.runtime.storage.csv_log import Row
from mbrl_jax.runtime.storage.episodes import Arrays


class Timer:
  """Measures the seconds between two laps, and the actions planned in a second."""

  def __init__(self) -> None:
    """Starts the first lap."""
    self._start = time.perf_counter()
    self._chunks: list[tuple[bool, int, float]] = []

  def add(self, seconds: float, steps: list[Arrays], learned: bool) -> None:
    """Adds a chunk that took ``seconds``, with the steps of each seed."""
    none = lambda arrays: np.zeros(len(arrays["reward"]))
    planned = sum(int(np.sum(a.get("info/random", none(a)) == 0)) for a in steps)
    self._chunks.append((learned, planned, seconds))

  def lap(self) -> Row:
    """Returns the timing since the last lap.

    Chunks with an update count towards ``plans_per_second`` only if there are no others.
    """
    now = time.perf_counter()
    timing = {"seconds": now - self._start}
    planning = [c for c in self._chunks if not c[0] and c[1]] or [
      c for c in self._chunks if c[1]
    ]
    if planning:
      count, seconds = sum(c[1] for c in planning), sum(c[2] for c in planning)
      timing["plans_per_second"] = count / seconds
    self._start, self._chunks = now, []
    return timing
