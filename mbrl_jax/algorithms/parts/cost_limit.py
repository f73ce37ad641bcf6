"""Ranks plans within a cost limit above those that exceed it.

A particle's cost is ``sum_{h < H} c_h`` up to and including the step that terminates; the
plan's is the worst or the mean over its particles. Plans within the limit keep their returns.
All others rank below them, the least excess first, so that a planner without a plan within the
limit minimises the excess.

Source: Sikchi, Zhou and Held 2021, "Learning Off-Policy with Online Planning", the safe
variant of LOOP (SafeLOOP); its details are from memory.

Deviations:
  * The released code keeps at least ten plans; here plans beyond the limit fill up the elites
    of ``threshold``, and have negligible weight under ``exponential`` while others are within
    it.
  * The executed plan is the mean of the selected plans; its own cost is not checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from mbrl_jax.ops.validate import NO_VALUE, ArgumentError
from mbrl_jax.types import Array, Dynamics, EnvSpec, KeyOrNoise, Params, State

COSTS: dict[str, Callable[..., Array]] = {"worst": jnp.max, "mean": jnp.mean}
"""Reductions of the costs of a plan's particles."""
_GAP = 30.0
"""Gap between plans within and beyond the limit, in temperatures: ``exp(-30) = 1e-13``."""


class CostState(NamedTuple):
  """A state with its accumulated cost.

  Attributes:
    obs: the state itself.
    cost: sum of the costs so far, ``[]``.
    alive: not yet terminated, ``[] bool``.
  """

  obs: State
  cost: Array
  alive: Array


def zero_cost(obs: State) -> CostState:
  """Returns a state with zero accumulated cost."""
  return CostState(obs, jnp.zeros(()), jnp.ones((), bool))


def add_costs(dynamics: Dynamics, spec: EnvSpec) -> Dynamics:
  """Extends dynamics over observations to states with accumulated cost, ``CostState``.

  Raises:
    ValueError: the task has no cost.
  """
  cost = spec.cost
  if cost is None:
    raise ArgumentError(
      "cost_limit",
      NO_VALUE,
      f"needs a cost, and the task {spec.name!r} has none: give its EnvSpec.cost, "
      "(obs, action, next_obs) -> [], for example as make_task(..., cost=cost).",
    )

  def step(
    params: Params, state: CostState, action: Array, key: KeyOrNoise
  ) -> tuple[CostState, Array, Array]:
    obs, reward, terminated = dynamics.step(params, state.obs, action, key)
    step_cost = jnp.where(state.alive, cost(state.obs, action, obs), 0.0)
    next_state = CostState(obs, state.cost + step_cost, state.alive & ~terminated)
    return next_state, reward, terminated

  return dynamics._replace(step=step)


def rank_by_cost(
  limit: float, over: str, temperature: float
) -> Callable[[Array, CostState], Array]:
  """Makes the ``rank`` of ``make_evaluate``.

  Args:
    limit: largest cost of a plan that keeps its return.
    over: a key of ``COSTS``.
    temperature: of the weights of plans, in units of return.
  """

  def rank(returns: Array, ends: CostState) -> Array:
    cost = COSTS[over](ends.cost, axis=1)
    finite = jnp.isfinite(returns)
    lowest = jnp.min(returns, where=finite, initial=jnp.inf)
    below = lowest - _GAP * temperature - (cost - limit)
    ranked = jnp.where(cost <= limit, returns, below)
    return jnp.where(finite, ranked, -jnp.inf)

  return rank
