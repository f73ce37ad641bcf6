"""Splits the chunks that a training step returns into episodes, on the host."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]


class Episode(NamedTuple):
  """One finished episode of ``T`` steps.

  Attributes:
    step: environment steps taken (by each seed) when it ended; steps of parallel environments
      are counted one after the other.
    total: return of the episode.
    arrays: ``obs [T, O]``, ``action [T, A]``, ``reward [T]``, ``next_obs``,
      ``terminated [T]``, ``truncated [T]``, ``pose [T, Q]``, ``info/...`` and, if the task
      defines it, ``success [T]``, as if the episode ended with that step.
  """

  step: int
  total: float
  arrays: Arrays

  @property
  def length(self) -> int:
    """``T``."""
    return len(self.arrays["reward"])

  @property
  def random(self) -> bool:
    """Whether its actions were those of the initial random policy."""
    return bool(np.all(self.arrays.get("info/random", np.zeros(1)) > 0))


def series(metrics: dict[str, Any]) -> Arrays:
  """Returns a chunk's per-step arrays ``[..., K, ...]`` by name."""
  arrays = {k: np.asarray(v) for k, v in metrics["transition"]._asdict().items()}
  arrays |= {k: np.asarray(metrics[k]) for k in ("pose", "success") if k in metrics}
  return arrays | {f"info/{k}": np.asarray(v) for k, v in metrics["info"].items()}


class EpisodeCollector:
  """Collects the steps of one of a seed's environments until an episode ends."""

  def __init__(self, open_steps: Arrays | None = None, env: int = 0, envs: int = 1):
    """Starts empty, or with the steps of the open episode.

    Args:
      open_steps: returned by ``open_steps``.
      env: index of the environment.
      envs: number of environments.
    """
    self._open: list[Arrays] = [open_steps] if open_steps else []
    self._env, self._envs = env, envs

  def feed(
    self, step: int, arrays: Arrays, done: np.ndarray, returns: np.ndarray
  ) -> list[Episode]:
    """Adds a chunk of ``K`` steps and returns the episodes that ended in it.

    Args:
      step: environment steps taken before the chunk.
      arrays: per-step arrays ``[K, ...]``; the environments alternate.
      done: ``[K]``, true at the last step of an episode.
      returns: ``[K]``, return of the episode, valid where ``done``.
    """
    own = slice(self._env, None, self._envs)
    arrays = {k: v[own] for k, v in arrays.items()}
    done, returns = done[own], returns[own]
    episodes, start = [], 0
    for end in (np.flatnonzero(done) + 1).tolist():
      self._open.append({k: v[start:end] for k, v in arrays.items()})
      taken = step + (end - 1) * self._envs + self._env + 1
      episodes.append(Episode(taken, float(returns[end - 1]), self.open_steps()))
      self._open, start = [], end
    if start < len(done):
      self._open.append({k: v[start:] for k, v in arrays.items()})
    return episodes

  def open_steps(self) -> Arrays:
    """Returns the steps of the open episode, ``{}`` if there are none."""
    if not self._open:
      return {}
    return {k: np.concatenate([part[k] for part in self._open]) for k in self._open[0]}
