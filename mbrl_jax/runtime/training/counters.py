"""Counts the episodes of one seed, and saves the counts with a checkpoint."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mbrl_jax.runtime.storage.csv_log import Row
from mbrl_jax.runtime.storage.episodes import Arrays, Episode, EpisodeCollector

ERRORS = ("model_error", "mse", "loss")
"""Update metrics that progress may show as the model error, in order of preference."""
COUNTS = ("info/nonfinite", "info/masked_actions", "info/nonfinite_transitions")
"""Infos that are summed over an episode; all others are averaged."""


class EndedEpisode(NamedTuple):
  """An episode that ended in a chunk.

  Attributes:
    seed: index of its seed.
    episode: its steps.
    row: its metrics.
  """

  seed: int
  episode: Episode
  row: Row


class SeedCounters:
  """Open episodes, episode counts, best return and latest update metrics of one seed."""

  def __init__(self, saved: Arrays | None = None, envs: int = 1):
    """Starts at zero, or from what ``arrays`` returned.

    Args:
      saved: arrays of earlier counters.
      envs: environments that the learner acts in.
    """
    saved = saved or {}
    self._collectors = [
      EpisodeCollector(strip_prefix(f"open/{i}/", saved), i, envs) for i in range(envs)
    ]
    self.episodes = int(saved.get("episodes", 0))
    self.trials = int(saved.get("trials", 0))
    self.best = float(saved.get("best", -np.inf))
    self.update = {k: float(v) for k, v in strip_prefix("update/", saved).items()}

  def feed(
    self, step: int, arrays: Arrays, done: np.ndarray, returns: np.ndarray
  ) -> list[tuple[Episode, Row]]:
    """Adds a chunk and returns the episodes that ended in it with their rows, oldest first.

    Args:
      step: environment steps taken before the chunk.
      arrays: per-step arrays ``[K, ...]``, of the environments in turn.
      done: ``[K]``, true at the last step of an episode.
      returns: ``[K]``, return of the episode, valid where ``done``.
    """
    found = [
      e for collector in self._collectors for e in collector.feed(step, arrays, done, returns)
    ]
    return [(e, self._row(e)) for e in sorted(found, key=lambda e: e.step)]

  def learned(self, update: Row) -> None:
    """Stores the metrics of the latest update."""
    self.update = update

  def error(self) -> float | None:
    """Returns the model error of the latest update, ``None`` without one."""
    return next((self.update[name] for name in ERRORS if name in self.update), None)

  def arrays(self) -> Arrays:
    """Returns everything as arrays for a checkpoint."""
    counts = {"episodes": self.episodes, "trials": self.trials, "best": self.best}
    open_steps = {
      f"open/{i}/{k}": v
      for i, collector in enumerate(self._collectors)
      for k, v in collector.open_steps().items()
    }
    update = {f"update/{k}": v for k, v in self.update.items()}
    return {k: np.asarray(v) for k, v in {**counts, **open_steps, **update}.items()}

  def _row(self, episode: Episode) -> Row:
    """Counts an episode and returns its metrics."""
    self.episodes += 1
    row = {"episode": self.episodes, "random": float(episode.random)}
    if not episode.random:
      self.trials += 1
      self.best = max(self.best, episode.total)
    row |= {"trial": self.trials, "return": episode.total, "length": episode.length}
    if self.trials:
      row["best"] = self.best
    if "success" in episode.arrays:
      row["success"] = float(episode.arrays["success"][-1])
    return row | _info_metrics(episode)


def _info_metrics(episode: Episode) -> Row:
  """Averages an episode's scalar infos over its steps; counts are summed."""
  metrics = {}
  for name, values in episode.arrays.items():
    if name.startswith("info/") and values.ndim == 1 and name != "info/random":
      reduce = np.sum if name in COUNTS else np.mean
      metrics[name.replace("info/", "planner/")] = float(reduce(values, dtype=np.float64))
  return metrics


def strip_prefix(prefix: str, arrays: Arrays) -> Arrays:
  """Returns the arrays whose names begin with ``prefix``, with the prefix removed."""
  return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
