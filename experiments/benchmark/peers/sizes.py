"""How large the jobs are, the same for every library; numpy only.

A worker may run in a Python that has no jax.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Sizes:
  """The job; defaults are PETS' cart-pole setting.

  Attributes:
    setting: a key of ``SETTINGS``; says what is encoded and rewarded.
    plans: candidates per iteration.
    iterations: of the cross-entropy method.
    horizon: control steps of a plan.
    particles: samples of each plan's future.
    members: nets of the ensemble.
    hidden: width of each hidden layer.
    points: transitions in the training set.
    epochs: passes over it per training call.
    batch: rows of one gradient step, for each member.
    obs_dim: numbers of an observation, and of what a net predicts.
    action_dim: numbers of an action.
    features: inputs of a net: the encoded observation and the action.
    action_high: bound of every action, on both sides of zero.
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
    """Plans that the search distribution is fitted to: a tenth."""
    return max(self.plans // 10, 1)

  @property
  def evaluations(self) -> int:
    """Model evaluations in one planning step."""
    return self.plans * self.particles * self.horizon * self.iterations

  @property
  def plan_flops(self) -> float:
    """Multiplications and additions of the nets' products in one planning step."""
    widths = (self.features, *self.hidden, 2 * self.obs_dim)
    row = 2 * sum(a * b for a, b in itertools.pairwise(widths))
    return float(row * self.evaluations)

  @property
  def fit_samples(self) -> int:
    """Training rows that one training call pushes through members."""
    return self.members * self.points * self.epochs


SETTINGS: dict[str, dict[str, Any]] = {
  # Features: sin and cos of the angle, the other three, and the action.
  "cartpole": {},
  # Features: all but the first number, with sin and cos of an angle, and the action.
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
"""What PETS uses for a task, where it differs from the defaults of ``Sizes``."""


def make_sizes(setting: str, **given: Any) -> Sizes:
  """Returns the sizes of a setting, with what is given and not ``None`` in their place."""
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
  """Returns the observation ``[O]`` from which everybody plans."""
  return np.resize(np.array([0.1, 0.2, 0.0, 0.0], np.float32), sizes.obs_dim)
