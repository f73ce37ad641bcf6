"""Records whole episodes of evaluations as rows of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from mbrl_jax.runtime.storage.dataset import ROWS


class Recorded(NamedTuple):
  """One episode.

  Attributes:
    rows: ``obs``, ``action``, ``reward``, ``next_obs`` and ``terminated``, ``[T, ...]``.
    total: its return.
  """

  rows: dict[str, np.ndarray]
  total: float


class Enough(NamedTuple):
  """When a recording ends: after all of its limits that are not ``None``.

  Attributes:
    transitions: control steps, at least.
    episodes: kept episodes, exactly.
    tries: episodes to run, at most.
    min_return: episodes below it are not kept.
  """

  transitions: int | None = None
  episodes: int | None = None
  tries: int | None = None
  min_return: float | None = None


class Recording(NamedTuple):
  """The kept episodes.

  Attributes:
    episodes: in the order in which they were run.
    tried: number of episodes run, those that were not kept included.
  """

  episodes: list[Recorded]
  tried: int

  def data(self) -> dict[str, np.ndarray]:
    """Returns the rows of all episodes, one after the other; there must be one."""
    return {name: np.concatenate([e.rows[name] for e in self.episodes]) for name in ROWS}


def record(
  batch: Callable[[int], dict[str, Any]],
  enough: Enough,
  report: Callable[[Recording], object] = lambda recording: None,
) -> Recording:
  """Runs batches of episodes until there are enough.

  Args:
    batch: ``(index) -> metrics`` of evaluation episodes, see ``make_evaluation``.
    enough: when to end.
    report: called after each batch.
  """
  kept: list[Recorded] = []
  tried, index = 0, 0
  while True:
    for episode in episodes_of(batch(index)):
      tried += 1
      if enough.min_return is None or episode.total >= enough.min_return:
        kept.append(episode)
      if len(kept) == enough.episodes or tried == enough.tries:
        return Recording(kept, tried)
    index += 1
    report(Recording(kept, tried))
    if enough.transitions and sum(len(e.rows["reward"]) for e in kept) >= enough.transitions:
      return Recording(kept, tried)


def episodes_of(metrics: dict[str, Any]) -> Iterator[Recorded]:
  """Yields the episodes of an evaluation, each up to its end, the trained seeds in turn.

  Args:
    metrics: of evaluation episodes, see ``make_evaluation``; perhaps with a leading seed axis.
  """
  rows = {
    name: np.asarray(getattr(metrics["transition"], name)) for name in (*ROWS, "truncated")
  }
  totals = np.asarray(metrics["return"])
  if totals.ndim == 2:  # the episode before the seed
    rows, totals = {name: x.swapaxes(0, 1) for name, x in rows.items()}, totals.T
  axes = rows["reward"].ndim
  flat = {name: x.reshape(-1, *x.shape[axes - 1 :]) for name, x in rows.items()}
  done = flat["terminated"] | flat.pop("truncated")
  ends = np.where(done.any(1), done.argmax(1) + 1, done.shape[1])
  for i, (end, total) in enumerate(zip(ends, totals.ravel(), strict=True)):
    yield Recorded({name: x[i, :end] for name, x in flat.items()}, float(total))
