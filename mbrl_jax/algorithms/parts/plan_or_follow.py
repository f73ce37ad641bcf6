"""Acting by a plan, unless something else is to act."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.types import Array, Key, Metrics, Params, Planner, PlanState


class PlanCarry(NamedTuple):
  """What acting by plans carries from step to step.

  Attributes:
    plan: the planner's state.
    random: uniform actions still to take before, ``[]`` int32.
  """

  plan: PlanState
  random: Array


def fresh_plans(fresh: PlanState, envs: int) -> PlanState:
  """Returns the state of the planner with which each environment begins, ``[N, ...]``."""
  return jax.tree.map(lambda x: jnp.broadcast_to(x, (envs, *x.shape)), fresh)


def begin(fresh: PlanState, random: Array) -> PlanCarry:
  """Returns the carry of several environments, each with its ``random [N]``."""
  return PlanCarry(fresh_plans(fresh, len(random)), random)


def begin_deployed(fresh: PlanState) -> PlanCarry:
  """Returns that of an evaluation or a robot."""
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
  """Plans and takes the first action, or takes another one, without the cost of a plan.

  Args:
    planner: over learned dynamics.
    follow: whether not to plan, ``[]`` bool.
    followed: the action that is taken then ``[A]``.
    params: of the dynamics.
    obs: ``[O]``.
    plan: the planner's state, which stays as it is where there is no plan.
    key: typed key.

  Returns:
    The action ``[A]``, the planner's state, and ``value`` and ``nonfinite`` of the plan for the
    ``info`` of a step, zero without one.
  """

  def look_ahead() -> tuple[Array, PlanState, Array, Array]:
    output, after = planner.plan(params, obs, plan, key)
    return output.action, after, output.value, output.metrics["nonfinite"]

  def stay() -> tuple[Array, PlanState, Array, Array]:
    return followed, plan, jnp.zeros(()), jnp.zeros((), jnp.int32)

  action, after, value, nonfinite = jax.lax.cond(follow, stay, look_ahead)
  return action, after, {"value": value, "nonfinite": nonfinite}
