"""Cuts the chunks that a training step returns into episodes, on the host."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]


class Episode(NamedTuple):
  """One finished episode of ``T`` steps.

  Attributes:
    step: environment steps taken (by each seed) when it ended; of environments that step at
      the same time, one after the other.
    total: its return.
    arrays: ``obs [T, O]``, ``action [T, A]``, ``reward [T]``, ``next_obs``,
      ``terminated [T]``, ``truncated [T]``, ``pose [T, Q]`` and ``info/...``.
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
    """Whether its actions were the initial random ones."""
    return bool(np.all(self.arrays.get("info/random", np.zeros(1)) > 0))


def series(metrics: dict[str, Any]) -> Arrays:
  """Returns a chunk's per-step arrays ``[..., K, ...]`` under flat names."""
  arrays = {k: np.asarray(v) for k, v in metrics["transition"]._asdict().items()}
  arrays["pose"] = np.asarray(metrics["pose"])
  return arrays | {f"info/{k}": np.asarray(v) for k, v in metrics["info"].items()}


class Cutter:
  """Collects the steps of one environment of a seed until an episode ends."""

  def __init__(self, open_steps: Arrays | None = None, env: int = 0, envs: int = 1):
    """Starts anew, or with the steps of the episode that was open.

    Args:
      open_steps: what ``open_steps`` returned.
      env: number of the environment.
      envs: how many there are.
    """
    self._open: list[Arrays] = [open_steps] if open_steps else []
    self._env, self._envs = env, envs

  def feed(
    self, step: int, arrays: Arrays, done: np.ndarray, returns: np.ndarray
  ) -> list[Episode]:
    """Takes a chunk of ``K`` steps and returns the episodes that ended in it.

    Args:
      step: environment steps taken before the chunk.
      arrays: per-step arrays ``[K, ...]``, of the environments in turn.
      done: ``[K]``, true at the last step of an episode.
      returns: ``[K]``, return of the episode, valid where ``done``.
    """
    own = slice(self._env, None, self._envs)
    arrays = {k: v[own] for k, v in arrays.items()}
    done, returns = done[own], returns[own]
    episodes, start = [], 0
    for end in np.flatnonzero(done) + 1:
      self._open.append({k: v[start:end] for k, v in arrays.items()})
      taken = step + int(end - 1) * self._envs + self._env + 1
      episodes.append(Episode(taken, float(returns[end - 1]), self.open_steps()))
      self._open, start = [], end
    if start < len(done):
      self._open.append({k: v[start:] for k, v in arrays.items()})
    return episodes

  def open_steps(self) -> Arrays:
    """Returns the steps of the episode that has not ended, ``{}`` if there are none."""
    if not self._open:
      return {}
    return {k: np.concatenate([part[k] for part in self._open]) for k in self._open[0]}
