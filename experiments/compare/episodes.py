"""Runs closed-loop episodes of a planner, many at once, and times its plans."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.compare.tasks import ClosedLoop, CompareTask
from mbrl_jax import make_evaluate, make_planner
from mbrl_jax.runtime.devices.compilation import compile_ahead
from mbrl_jax.types import Array, Key, Planner, PlanState, Search

TIMED = 15
"""Number of timed plans."""


class Cost(NamedTuple):
  """Computational cost of one plan.

  Attributes:
    seconds: median time of one plan without a batch.
    model_steps: transitions of the model.
  """

  seconds: float
  model_steps: int


def build(task: CompareTask, search: Search, loop: ClosedLoop) -> Planner:
  """Makes the planner of a search on a task."""
  return make_planner(
    search,
    make_evaluate(task.dynamics),
    horizon=loop.horizon,
    action_low=task.env.spec.action_low,
    action_high=task.env.spec.action_high,
    iterations=loop.iterations,
    knots=loop.knots or None,
  )


def make_episode(task: CompareTask, planner: Planner, steps: int) -> Callable:
  """Makes ``episode(plan_state, key) -> return []``."""

  def control_step(carry: tuple, key: Key) -> tuple[tuple, Array]:
    state, plan_state = carry
    plan_key, step_key = jax.random.split(key)
    output, plan_state = planner.plan(None, task.view(state), plan_state, plan_key)
    state, transition = task.env.step(state, output.action, step_key)
    return (state, plan_state), transition.reward

  def episode(plan_state: PlanState, key: Key) -> Array:
    reset_key, key = jax.random.split(key)
    start = task.env.reset(reset_key), plan_state
    return jnp.sum(jax.lax.scan(control_step, start, jax.random.split(key, steps))[1])

  return episode


def returns(task: CompareTask, planner: Planner, steps: int, seeds: int) -> np.ndarray:
  """Returns the return of each seed ``[S]``; a seed has one initial state for all planners."""
  episode = jax.vmap(make_episode(task, planner, steps), in_axes=(None, 0))
  given = planner.init(), keys(seeds)
  compiled, _ = compile_ahead(jax.jit(episode), *given)
  return np.asarray(compiled(*given), np.float64)


def returns_of_step_sizes(
  task: CompareTask, planner: Planner, steps: int, seeds: int, step_sizes: list[float]
) -> np.ndarray:
  """Returns returns ``[G, S]`` of mirror descent at ``G`` step sizes, in one compiled call.

  A seed has the same initial state and random numbers at all step sizes.
  """
  episode = make_episode(task, planner, steps)

  def one(step_size: Array, key: Key) -> Array:
    start = planner.init()
    return episode(start._replace(search=start.search._replace(step_size=step_size)), key)

  sweep = jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None))
  given = np.float32(step_sizes), keys(seeds)
  compiled, _ = compile_ahead(jax.jit(sweep), *given)
  return np.asarray(compiled(*given), np.float64)


def keys(seeds: int) -> Key:
  """Returns one key for each seed."""
  return jax.vmap(jax.random.key)(np.arange(seeds))


def measure(task: CompareTask, planner: Planner, search: Search, loop: ClosedLoop) -> Cost:
  """Measures the cost of one plan."""
  plan = jax.jit(planner.plan)
  state = task.view(task.env.reset(jax.random.key(0)))
  plan_state, seconds = planner.init(), []
  for key in jax.random.split(jax.random.key(1), TIMED + 1):
    start = time.perf_counter()
    _, plan_state = jax.block_until_ready(plan(None, state, plan_state, key))
    seconds.append(time.perf_counter() - start)
  candidates = sum(search.sizes(loop.iterations))
  return Cost(statistics.median(seconds[1:]), candidates * loop.horizon)
