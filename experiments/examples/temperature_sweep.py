"""Sweeps MPPI's temperature in one compiled call: `vmap` over a float of the plan state.

  python -m experiments.examples.temperature_sweep

Floats that a user tunes (temperature, noise, smoothing, step size, ...) are arrays in the
search's state, not constants of the program. A sweep is one more batch axis, and new values,
such as those of a slider, do not recompile.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments.examples.episode_scan import make_episode
from mbrl_jax import env_dynamics, make_env, make_evaluate, make_planner, mppi
from mbrl_jax.types import Array, Env, Key, PlanState

TEMPERATURES = np.float32([0.01, 0.1, 1.0, 10.0, 100.0])
SEEDS = 8


def make_sweep(env: Env, steps: int = 100, samples: int = 64) -> Callable:
  """Makes `sweep(temperatures [S], keys [B]) -> returns [S, B]`, compiled at the first call."""
  planner = make_planner(
    mppi(samples, ess_fraction=0.0),  # 0: a fixed temperature
    make_evaluate(env_dynamics(env)),
    horizon=30,
    action_low=env.spec.action_low,
    action_high=env.spec.action_high,
    iterations=3,
  )
  episode = make_episode(env, planner, steps)

  def start(temperature: Array) -> PlanState:
    fresh = planner.init()
    return fresh._replace(search=fresh.search._replace(temperature=temperature))

  def one(temperature: Array, key: Key) -> Array:
    return jnp.sum(episode(start(temperature), key).reward)

  over_keys = jax.vmap(one, in_axes=(None, 0))
  return jax.jit(jax.vmap(over_keys, in_axes=(0, None)))


def main() -> None:
  """Prints the mean return at each temperature."""
  sweep = make_sweep(make_env("pendulum"))
  keys = jax.random.split(jax.random.key(0), SEEDS)
  print(f"temperature   return of {SEEDS} episodes")
  for temperatures in (TEMPERATURES, 3 * TEMPERATURES):
    returns = np.asarray(sweep(temperatures, keys))
    for temperature, row in zip(temperatures, returns, strict=True):
      print(f"{temperature:11g}   {row.mean():7.1f} +- {row.std(ddof=1) / SEEDS**0.5:.1f}")
  print(f"{2 * len(TEMPERATURES)} temperatures, compiled {sweep._cache_size()} time")


if __name__ == "__main__":
  main()
