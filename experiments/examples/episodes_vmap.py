"""Runs 64 episodes at once: `vmap` over keys, hence over initial states.

  python -m experiments.examples.episodes_vmap

A planner is written for one episode. Under `vmap` every episode has its own plan state and
random numbers and gives the same result as alone.
"""

from __future__ import annotations

import time

import jax
import numpy as np

from experiments.examples.episode_scan import STEPS, make_episode, pendulum_and_planner
from mbrl_jax.types import Array

EPISODES = 64


def run(episodes: int = EPISODES, steps: int = STEPS, seed: int = 0) -> Array:
  """Returns the rewards `[episodes, steps]`."""
  env, planner = pendulum_and_planner()
  episode = make_episode(env, planner, steps)
  keys = jax.random.split(jax.random.key(seed), episodes)
  # All episodes start from one plan state; pass a batch (in_axes 0) for different ones.
  return jax.jit(jax.vmap(episode, in_axes=(None, 0)))(planner.init(), keys).reward


def main() -> None:
  """Prints the time and statistics of the returns."""
  start = time.perf_counter()
  returns = np.asarray(run()).sum(axis=1)
  seconds = time.perf_counter() - start
  error = returns.std(ddof=1) / np.sqrt(len(returns))
  print(f"{len(returns)} episodes in {seconds:.1f} s, compilation included")
  print(f"return: mean {returns.mean():.1f} +- {error:.1f} (standard error)")
  print(f"worst {returns.min():.1f}, median {np.median(returns):.1f}, best {returns.max():.1f}")


if __name__ == "__main__":
  main()
