"""Plans whose predicted cost stays within a limit come before those that exceed it.

A plan's cost is, per particle, ``sum_{h < H} c_h`` up to and including the step that
terminates; of the particles the worst counts, or their mean. Plans within the limit keep their
returns. The others are ranked behind all of them, those with the least excess first, so that
a planner that finds no plan within the limit looks for the least dangerous one.

Source: Sikchi, Zhou and Held 2021, "Learning Off-Policy with Online Planning", the safe
variant of LOOP (SafeLOOP); its details are from memory.

Deviations:
  * The released code keeps at least ten plans; here plans beyond the limit fill up the elites
    of ``threshold``, and have no weight to speak of under ``exponential`` while there are
    others.
  * What is executed is the mean of the plans that count, which is not checked itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from mbrl_jax.ops.validate import NO_VALUE, ArgumentError
from mbrl_jax.types import Array, Dynamics, EnvSpec, Key, Params, State

COSTS = {"worst": jnp.max, "mean": jnp.mean}
"""What counts of the costs of a plan's particles."""
_GAP = 30.0
"""Temperatures between plans within the limit and those beyond: ``exp(-30) = 1e-13``."""


class CostState(NamedTuple):
  """A state with what reaching it has cost.

  Attributes:
    obs: the state itself.
    cost: sum of the costs so far, ``[]``.
    alive: whether it has not terminated, ``[] bool``.
  """

  obs: State
  cost: Array
  alive: Array


def start(obs: State) -> CostState:
  """Returns a state that has cost nothing yet."""
  return CostState(obs, jnp.zeros(()), jnp.ones((), bool))


def add_costs(dynamics: Dynamics, spec: EnvSpec) -> Dynamics:
  """Makes dynamics over ``CostState`` states of dynamics over observations.

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

  def step(params: Params, state: CostState, action: Array, key: Key) -> tuple:
    obs, reward, terminated = dynamics.step(params, state.obs, action, key)
    paid = jnp.where(state.alive, cost(state.obs, action, obs), 0.0)
    after = CostState(obs, state.cost + paid, state.alive & ~terminated)
    return after, reward, terminated

  return dynamics._replace(step=step)


def rank_by_cost(
  limit: float, over: str, temperature: float
) -> Callable[[Array, CostState], Array]:
  """Makes the ``rank`` of ``make_evaluate``.

  Args:
    limit: cost that a plan may have.
    over: a key of ``COSTS``.
    temperature: of the weights of plans, in units of return.
  """

  def rank(returns: Array, ends: CostState) -> Array:
    cost = COSTS[over](ends.cost, axis=1)
    finite = jnp.isfinite(returns)
    least = jnp.min(returns, where=finite, initial=jnp.inf)
    behind = least - _GAP * temperature - (cost - limit)
    ranked = jnp.where(cost <= limit, returns, behind)
    return jnp.where(finite, ranked, -jnp.inf)

  return rank
