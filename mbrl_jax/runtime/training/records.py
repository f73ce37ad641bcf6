"""What the host knows of a run between chunks, and how a checkpoint carries it."""

from __future__ import annotations

from typing import Any

import numpy as np

from mbrl_jax.runtime.storage.csv_log import Row
from mbrl_jax.runtime.storage.episodes import Arrays, Episode, EpisodeCollector

ERRORS = ("model_error", "mse", "loss")
"""Names of update metrics that progress may show as the model's error, best first."""
COUNTS = ("info/nonfinite", "info/masked_actions", "info/nonfinite_transitions")
"""Infos that an episode adds up."""


class Record:
  """The running account of one seed: open episodes, counts, best return."""

  def __init__(self, saved: Arrays | None = None, envs: int = 1):
    """Starts anew, or from what ``arrays`` returned.

    Args:
      saved: arrays of an earlier record.
      envs: environments that the learner acts in.
    """
    saved = saved or {}
    self._cutters = [EpisodeCollector(below(f"open/{i}/", saved), i, envs) for i in range(envs)]
    self.episodes = int(saved.get("episodes", 0))
    self.trials = int(saved.get("trials", 0))
    self.best = float(saved.get("best", -np.inf))
    self.update = {k: float(v) for k, v in below("update/", saved).items()}

  def feed(
    self, step: int, arrays: Arrays, done: np.ndarray, returns: np.ndarray
  ) -> list[tuple[Episode, Row]]:
    """Takes a chunk and returns its episodes with their rows, in the order of their ends.

    Args:
      step: environment steps taken before the chunk.
      arrays: per-step arrays ``[K, ...]``, of the environments in turn.
      done: ``[K]``, true at the last step of an episode.
      returns: ``[K]``, return of the episode, valid where ``done``.
    """
    found = [e for cutter in self._cutters for e in cutter.feed(step, arrays, done, returns)]
    return [(e, self._row(e)) for e in sorted(found, key=lambda e: e.step)]

  def learned(self, update: Row) -> None:
    """Remembers the metrics of the latest learning."""
    self.update = update

  def error(self) -> float | None:
    """Returns the model's error of the latest learning, ``None`` without one."""
    return next((self.update[name] for name in ERRORS if name in self.update), None)

  def arrays(self) -> Arrays:
    """Returns everything as arrays for a checkpoint."""
    counts = {"episodes": self.episodes, "trials": self.trials, "best": self.best}
    open_steps = {
      f"open/{i}/{k}": v
      for i, cutter in enumerate(self._cutters)
      for k, v in cutter.open_steps().items()
    }
    update = {f"update/{k}": v for k, v in self.update.items()}
    return {k: np.asarray(v) for k, v in {**counts, **open_steps, **update}.items()}

  def _row(self, episode: Episode) -> Row:
    self.episodes += 1
    row = {"episode": self.episodes, "random": float(episode.random)}
    if not episode.random:
      self.trials += 1
      self.best = max(self.best, episode.total)
    row |= {"trial": self.trials, "return": episode.total, "length": episode.length}
    if self.trials:
      row["best"] = self.best
    return row | _means(episode)


def scalars(update: Arrays) -> Row:
  """Averages the metrics of one update to scalars; ``{}`` if it did not take place."""
  if not float(np.min(update.get("ran", 1.0))):
    return {}
  return {k: float(np.mean(v, dtype=np.float64)) for k, v in update.items() if k != "ran"}


def _means(episode: Episode) -> Row:
  """Averages an episode's scalar infos over its steps; counts are added up."""
  means = {}
  for name, values in episode.arrays.items():
    if name.startswith("info/") and values.ndim == 1 and name != "info/random":
      reduce = np.sum if name in COUNTS else np.mean
      means[name.replace("info/", "planner/")] = float(reduce(values, dtype=np.float64))
  return means


def below(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
  """Returns the arrays whose names begin with ``prefix``, without it."""
  return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
