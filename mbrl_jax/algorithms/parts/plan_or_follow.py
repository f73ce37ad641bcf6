"""Acts by the planner, or by another action without the cost of planning."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.types import Array, Key, Metrics, Params, Planner, PlanState


class PlanCarry(NamedTuple):
  """Carry of an algorithm that plans.

  Attributes:
    plan: the planner's state.
    random: uniform warm-up actions left, ``[]`` int32.
  """

  plan: PlanState
  random: Array


def initial_plans(fresh: PlanState, envs: int) -> PlanState:
  """Returns the initial planner state of each environment, ``[N, ...]``."""
  return jax.tree.map(lambda x: jnp.broadcast_to(x, (envs, *x.shape)), fresh)


def initial_carry(fresh: PlanState, random: Array) -> PlanCarry:
  """Returns the initial carry of several environments, with warm-up actions ``random [N]``."""
  return PlanCarry(initial_plans(fresh, len(random)), random)


def deployed_carry(fresh: PlanState) -> PlanCarry:
  """Returns the carry of an evaluation or a robot: no warm-up."""
  return PlanCarry(fresh, jnp.zeros((), jnp.int32))


def plan_or_follow(
  planner: Planner,
  follow: Array,
  followed: Array,
  params: Params,
  obs: Array,
  plan: PlanState,
  key: Key,
) -> tuple[Array, PlanState, Metrics]:
  """Plans and returns the first action, or returns the given action without planning.

  Args:
    planner: over learned dynamics.
    follow: take ``followed`` instead of planning, ``[]`` bool.
    followed: the action taken if ``follow``, ``[A]``.
    params: of the dynamics.
    obs: ``[O]``.
    plan: the planner's state, unchanged if ``follow``.
    key: typed key.

  Returns:
    The action ``[A]``, the planner's state, and ``value`` and ``nonfinite`` of the plan for the
    ``info`` of a step, zero if ``follow``.
  """

  def run_planner() -> tuple[Array, PlanState, Array, Array]:
    output, after = planner.plan(params, obs, plan, key)
    return output.action, after, output.value, output.metrics["nonfinite"]

  def skip_planner() -> tuple[Array, PlanState, Array, Array]:
    return followed, plan, jnp.zeros(()), jnp.zeros((), jnp.int32)

  action, after, value, nonfinite = jax.lax.cond(follow, skip_planner, run_planner)
  return action, after, {"value": value, "nonfinite": nonfinite}
