"""Sizes and data of the jobs in every library.

Imports only numpy: a worker may run in a Python without jax.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Sizes:
  """Sizes of a job; the defaults are PETS' cart-pole setting.

  Attributes:
    setting: a key of ``SETTINGS``; selects encoding and reward.
    plans: candidates per iteration.
    iterations: iterations of the cross-entropy method.
    horizon: control steps of a plan.
    particles: sampled trajectories per plan.
    members: nets in the ensemble.
    hidden: width of each hidden layer.
    points: transitions in the training set.
    epochs: passes over the training set per training call.
    batch: rows per gradient step and member.
    obs_dim: size of an observation and of a net's prediction.
    action_dim: size of an action.
    features: size of a net's input: the encoded observation and the action.
    action_high: bound of every action coordinate; the lower bound is its negative.
  """

  setting: str = "cartpole"
  plans: int = 400
  iterations: int = 5
  horizon: int = 25
  particles: int = 20
  members: int = 5
  hidden: tuple[int, ...] = (500, 500, 500)
  points: int = 2000
  epochs: int = 5
  batch: int = 32
  obs_dim: int = 4
  action_dim: int = 1
  features: int = 6
  action_high: float = 3.0

  @property
  def elites(self) -> int:
    """Plans to which the search distribution is fitted: a tenth."""
    return max(self.plans // 10, 1)

  @property
  def evaluations(self) -> int:
    """Model evaluations per planning step."""
    return self.plans * self.particles * self.horizon * self.iterations

  @property
  def plan_flops(self) -> float:
    """Floating-point operations of the nets' matrix products per planning step."""
    widths = (self.features, *self.hidden, 2 * self.obs_dim)
    row = 2 * sum(a * b for a, b in itertools.pairwise(widths))
    return float(row * self.evaluations)

  @property
  def fit_samples(self) -> int:
    """Training rows per training call, summed over members."""
    return self.members * self.points * self.epochs


SETTINGS: dict[str, dict[str, Any]] = {
  # Features: sin and cos of the angle, the other three, and the action.
  "cartpole": {},
  # Features: all coordinates but the first, with sin and cos of an angle, and the action.
  "halfcheetah": {
    "plans": 500,
    "horizon": 30,
    "hidden": (200, 200, 200, 200),
    "obs_dim": 18,
    "action_dim": 6,
    "features": 24,
    "action_high": 1.0,
  },
}
"""PETS' sizes for each task, where they differ from the defaults of ``Sizes``."""


def make_sizes(setting: str, **given: Any) -> Sizes:
  """Returns the sizes of a setting, overridden by the arguments that are not ``None``."""
  given = {name: value for name, value in given.items() if value is not None}
  return Sizes(**{"setting": setting, **SETTINGS[setting], **given})


def transitions(sizes: Sizes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Draws ``obs [B, O]``, ``action [B, A]``, ``next_obs [B, O]`` of a smooth system."""
  rng = np.random.default_rng(0)
  high = sizes.action_high
  obs = rng.normal(size=(sizes.points, sizes.obs_dim))
  action = rng.uniform(-high, high, size=(sizes.points, sizes.action_dim))
  half = sizes.obs_dim // 2
  forces = np.resize(action.T, (half, sizes.points)).T + np.sin(obs[:, :half])
  drift = np.concatenate([obs[:, half:], forces], axis=1)
  next_obs = obs + 0.04 * drift + 0.01 * rng.normal(size=obs.shape)
  return tuple(np.asarray(x, np.float32) for x in (obs, action, next_obs))


def first_obs(sizes: Sizes) -> np.ndarray:
  """Returns the observation ``[O]`` from which every library plans."""
  return np.resize(np.array([0.1, 0.2, 0.0, 0.0], np.float32), sizes.obs_dim)
