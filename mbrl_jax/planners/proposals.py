"""Plans from elsewhere that compete with those a search samples.

Each is a ``Proposal`` for ``make_planner(..., proposals=[...])``.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from mbrl_jax.ops.validate import positive
from mbrl_jax.planners.dynamics_contract import action_dtype, check_step
from mbrl_jax.planners.rollout import slice_mapper, split_keys
from mbrl_jax.planners.search import shift_plan
from mbrl_jax.types import (
  PARTICLES,
  Array,
  Dynamics,
  Key,
  Params,
  PlanState,
  Policy,
  Proposal,
  State,
)


def previous_plan(steps: int = 1) -> Proposal:
  """Proposes the plan under way, moved on in time, its last action repeated: ``[1, H, A]``.

  For searches that keep no plan from one control step to the next, such as random shooting.

  Args:
    steps: control steps that are executed of each plan, the planner's ``replan_every``.
  """
  positive(steps=steps)

  def propose(params: Params, state: State, plan_state: PlanState, key: Key) -> Array:
    del params, state, key
    return shift_plan(plan_state.plan, steps, plan_state.plan[-1])[None]

  return propose


def policy_plans(
  dynamics: Dynamics, policy: Policy, *, horizon: int, count: int = 1
) -> Proposal:
  """Proposes what a policy would do: rollouts of it through the dynamics.

  The rollouts are spread evenly over the slices. Actions under way because of latency
  are executed first.

  Args:
    dynamics: what is planned over. Its ``params`` must hold what the policy needs.
    policy: see ``types.Policy``.
    horizon: ``H`` of the planner.
    count: ``M``, rollouts.

  Raises:
    ValueError: a horizon or count below one.

  Source: Sikchi, Zhou and Held 2021, "Learning Off-Policy with Online Planning" (LOOP), whose
  planner mixes rollouts of its actor into the samples.
  """
  positive(horizon=horizon, count=count)
  per_slice = -(-count // dynamics.slices)

  def propose(params: Params, state: State, plan_state: PlanState, key: Key) -> Array:
    waiting = len(plan_state.committed)
    noise_key, policy_key = jax.random.split(key)
    rows = (dynamics.slices, waiting + horizon, per_slice)
    noise = (dynamics.noise or split_keys)(noise_key, rows)
    keys = split_keys(policy_key, rows)

    def advance(params: Params, state: State, action: Array, noise: Any) -> State:
      action = action.astype(action_dtype(state))
      return check_step(state, dynamics.step(params, state, action, noise))[0]

    # A rollout is all there is of its plan's particles; what looks at them all needs the name.
    alone = jax.vmap(advance, (None, 0, None, 0), axis_name=PARTICLES)

    def roll(params: Params, noise: Any, keys: Key) -> Array:
      def body(state: State, x: tuple) -> tuple[State, Array]:
        t, noise, key = x
        one = jax.tree.map(lambda leaf: leaf[0], state)
        action = policy(params, one, key)
        if waiting:
          under_way = plan_state.committed[jnp.minimum(t, waiting - 1)]
          action = jnp.where(t < waiting, under_way, action)
        single = jax.tree.map(lambda leaf: leaf[None], noise)
        return alone(params, state, action, single), action.astype(jnp.float32)

      start = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], state)
      steps = jnp.arange(waiting + horizon)
      return jax.lax.scan(body, start, (steps, noise, keys))[1][waiting:]

    of_slice = jax.vmap(roll, (None, 1, 1))
    plans = slice_mapper(dynamics, params)(of_slice, noise, keys)
    return jnp.swapaxes(plans, 0, 1).reshape(-1, *plans.shape[2:])[:count]

  return propose
