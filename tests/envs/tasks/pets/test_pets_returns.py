"""Tests returns of random and zero actions on the four tasks of PETS against the published.

The published returns were measured with the original MJCF and rewards on MuJoCo 4, 20 episodes
each. Run as a program, it writes both to a table:

  python tests/envs/tasks/pets/test_pets_returns.py experiments/results/pets_task_returns.csv
"""

from __future__ import annotations

import csv
import functools
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.envs import make_env

EPISODES = 100
PUBLISHED_EPISODES = 20


class Published(NamedTuple):
  """A return of the published task: mean and standard deviation over 20 episodes.

  ``rounding`` is half of the last digit that is known of the mean.
  """

  task: str
  policy: str
  mean: float
  std: float
  rounding: float = 0.05


TABLE = (
  Published("cartpole", "random", -4.5, 0.8),
  Published("cartpole", "zero", 2.8, 0.7),
  Published("reacher7", "random", -1496.0, 44.0, 0.5),
  Published("reacher7", "zero", -169.5, 22.6),
  Published("pusher", "random", -290.7, 13.5),
  Published("pusher", "zero", -151.8, 3.5),
  Published("halfcheetah_pets", "random", -302.0, 67.0, 0.5),
  Published("halfcheetah_pets", "zero", -0.2, 0.0),
)
LIMIT = 3.0
"""Largest error of a mean in standard errors; 2 % of eight correct means exceed it."""

OPTIONS = {"pusher": {"original": True}}


@functools.cache
def returns(task, episodes=EPISODES, seed=0):
  """Returns the episode returns ``[episodes]`` of uniform and of zero actions."""
  env = make_env(task, physics="mujoco", **OPTIONS.get(task, {}))
  low, high = (jnp.asarray(x) for x in (env.spec.action_low, env.spec.action_high))

  def episode(key, size):
    def step(state, key):
      action = size * jax.random.uniform(key, low.shape, minval=low, maxval=high)
      state, transition = env.step(state, action, key)
      return state, transition.reward

    key, reset_key = jax.random.split(key)
    keys = jax.random.split(key, env.spec.episode_length)
    return jax.lax.scan(step, env.reset(reset_key), keys)[1].sum()

  keys = jax.random.split(jax.random.key(seed), (2, episodes))
  sizes = jnp.float32([1.0, 0.0])
  random, zero = jax.jit(jax.vmap(jax.vmap(episode, (0, None))))(keys, sizes)
  return {"random": np.asarray(random), "zero": np.asarray(zero)}


def standard_errors(measured, published):
  """Returns the difference of the means, less rounding, in standard errors."""
  error = np.hypot(
    measured.std(ddof=1) / np.sqrt(len(measured)), published.std / np.sqrt(PUBLISHED_EPISODES)
  )
  difference = measured.mean() - published.mean
  beyond = max(0.0, abs(difference) - published.rounding)
  return float(np.sign(difference) * beyond / error)


def check(published):
  measured = returns(published.task)[published.policy]
  assert abs(standard_errors(measured, published)) < LIMIT, (
    measured.mean(),
    measured.std(ddof=1),
  )


@pytest.mark.parametrize("published", TABLE[:6], ids=lambda p: f"{p.task}-{p.policy}")
def test_returns_equal_the_published_tasks(published):
  check(published)


@pytest.mark.slow
@pytest.mark.parametrize("published", TABLE[6:], ids=lambda p: f"{p.task}-{p.policy}")
def test_returns_of_long_episodes_equal_the_published_tasks(published):
  check(published)


def test_a_wrong_task_is_detected():
  published = TABLE[5]
  wrist = (
    published.mean
    + 8.5
    + published.std * np.random.default_rng(0).normal(size=PUBLISHED_EPISODES)
  )
  assert abs(standard_errors(wrist, published)) > LIMIT  # the tip taken at the wrist


def write(path):
  """Writes both returns of every task and policy."""
  with open(path, "w", newline="", encoding="utf-8") as file:
    table = csv.writer(file, lineterminator="\n")
    names = ("task", "policy", "episodes", "mean", "std", "published_mean", "published_std")
    table.writerow([*names, "standard_errors"])
    for published in TABLE:
      measured = returns(published.task)[published.policy]
      numbers = (measured.mean(), measured.std(ddof=1), published.mean, published.std)
      numbers = (*numbers, standard_errors(measured, published))
      row = [f"{number:.2f}" for number in numbers]
      table.writerow([published.task, published.policy, EPISODES, *row])


if __name__ == "__main__":
  write(sys.argv[1])
