"""Plans and simulates a whole episode in one `lax.scan`: one compilation, one call.

  python -m experiments.examples.episode_scan

A planner and an environment are pure functions, so their closed loop is a scan over control
steps with the carry (environment state, plan state). For comparison the same episode also runs
as a Python loop with two calls per control step.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import numpy as np

from mbrl_jax import cem, env_dynamics, make_env, make_evaluate, make_planner
from mbrl_jax.types import Env, Key, Planner, PlanState, Transition

STEPS = 100


def pendulum_and_planner() -> tuple[Env, Planner]:
  """Makes the pendulum and a planner over its exact model."""
  env = make_env("pendulum")
  planner = make_planner(
    cem(samples=64, elites=8),
    make_evaluate(env_dynamics(env)),
    horizon=30,
    action_low=env.spec.action_low,
    action_high=env.spec.action_high,
    iterations=3,
  )
  return env, planner


def make_episode(env: Env, planner: Planner, steps: int = STEPS) -> Callable:
  """Makes `episode(plan_state, key) -> Transition [T, ...]`, a pure function."""

  def episode(plan_state: PlanState, key: Key) -> Transition:
    reset_key, key = jax.random.split(key)

    def control_step(carry: tuple, key: Key) -> tuple[tuple, Transition]:
      state, plan_state = carry
      plan_key, step_key = jax.random.split(key)
      output, plan_state = planner.plan(None, state, plan_state, plan_key)
      state, transition = env.step(state, output.action, step_key)
      return (state, plan_state), transition

    start = env.reset(reset_key), plan_state
    return jax.lax.scan(control_step, start, jax.random.split(key, steps))[1]

  return episode


def loop(env: Env, planner: Planner, key: Key, steps: int = STEPS) -> float:
  """Runs the same episode as a Python loop; returns its return."""
  plan, step = jax.jit(planner.plan), jax.jit(env.step)
  reset_key, key = jax.random.split(key)
  state, plan_state, total = env.reset(reset_key), planner.init(), 0.0
  for control_key in jax.random.split(key, steps):
    plan_key, step_key = jax.random.split(control_key)
    output, plan_state = plan(None, state, plan_state, plan_key)
    state, transition = step(state, output.action, step_key)
    total += float(transition.reward)
  return total


def main() -> None:
  """Runs the episode in both ways; prints returns and times."""
  env, planner = pendulum_and_planner()
  episode, key = jax.jit(make_episode(env, planner)), jax.random.key(0)
  for call in ("first call, compiles", "second call"):
    start = time.perf_counter()
    rewards = np.asarray(episode(planner.init(), key).reward)
    print(f"scan: return {rewards.sum():8.3f}   {time.perf_counter() - start:6.3f} s  {call}")
  start = time.perf_counter()
  total = loop(env, planner, key)
  print(f"loop: return {total:8.3f}   {time.perf_counter() - start:6.3f} s  compiles")
  print(f"the scan was compiled {episode._cache_size()} time")


if __name__ == "__main__":
  main()
