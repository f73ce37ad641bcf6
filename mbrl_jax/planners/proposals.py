"""Proposals: plans that compete with those that a search samples.

Each factory makes a ``Proposal`` for ``make_planner(..., proposals=[...])``.
"""

from __future__ import annotations

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
  KeyOrNoise,
  Noise,
  Params,
  PlanState,
  Policy,
  Proposal,
  State,
)


def previous_plan(steps: int = 1) -> Proposal:
  """Proposes the current plan, shifted in time, its last action repeated: ``[1, H, A]``.

  For searches without a warm start, such as random shooting.

  Args:
    steps: control steps that are executed of each plan, the planner's ``replan_every``.

  Example:
    >>> from mbrl_jax.planners import make_planner, random_shooting
    >>> score = lambda params, state, plans, key: -jnp.sum(plans**2, axis=(1, 2))
    >>> options = {"horizon": 3, "action_low": [-1.0], "action_high": [3.0]}
    >>> planner = make_planner(random_shooting(8), score, **options)
    >>> plan_state = planner.init()._replace(plan=jnp.asarray([[0.0], [1.0], [2.0]]))
    >>> previous_plan()(None, None, plan_state, jax.random.key(0)).ravel().tolist()
    [1.0, 2.0, 2.0]
  """
  positive(steps=steps)

  def propose(params: Params, state: State, plan_state: PlanState, key: Key) -> Array:
    del params, state, key
    return shift_plan(plan_state.plan, steps, plan_state.plan[-1])[None]

  return propose


def policy_plans(
  dynamics: Dynamics, policy: Policy, *, horizon: int, count: int = 1
) -> Proposal:
  """Proposes rollouts of a policy through the dynamics.

  The rollouts are distributed evenly over the slices. Actions that are pending because of
  latency are executed first.

  Args:
    dynamics: of the planner. Its ``params`` must contain those of the policy.
    policy: see ``types.Policy``.
    horizon: ``H`` of the planner.
    count: ``M``, rollouts.

  Raises:
    ValueError: a horizon or count below one.

  Source: Sikchi, Zhou and Held 2021, "Learning Off-Policy with Online Planning" (LOOP), whose
  planner mixes rollouts of its actor into the samples.

  Example:
    >>> step = lambda params, x, action, key: (x + action[0], -jnp.abs(x), jnp.array(False))
    >>> policy = lambda params, x, key: jnp.clip(-x, -1.0, 1.0)[None]
    >>> propose = policy_plans(Dynamics(step), policy, horizon=3)
    >>> plan_state = PlanState(None, None, None, None, None, jnp.zeros((0, 1)), None)
    >>> propose(None, jnp.float32(2.5), plan_state, jax.random.key(0)).ravel().tolist()
    [-1.0, -1.0, -0.5]
  """
  positive(horizon=horizon, count=count)
  per_slice = -(-count // dynamics.slices)

  def propose(params: Params, state: State, plan_state: PlanState, key: Key) -> Array:
    pending = plan_state.committed
    noise_key, policy_key = jax.random.split(key)
    shape = (dynamics.slices, len(pending) + horizon, per_slice)
    noise = (dynamics.noise or split_keys)(noise_key, shape)
    keys = split_keys(policy_key, shape)

    def roll_out(params: Params, noise: Noise, keys: Key) -> Array:
      return _roll_out_policy(dynamics, policy, params, state, pending, noise, keys)

    over_rollouts = jax.vmap(roll_out, (None, 1, 1))
    plans = slice_mapper(dynamics, params)(over_rollouts, noise, keys)
    return jnp.swapaxes(plans, 0, 1).reshape(-1, *plans.shape[2:])[:count]

  return propose


def _roll_out_policy(
  dynamics: Dynamics,
  policy: Policy,
  params: Params,
  state: State,
  pending: Array,
  noise: Noise,
  keys: Key,
) -> Array:
  """Returns the actions ``[H, A]`` of one rollout, after the pending ones ``[L, A]``.

  Args:
    dynamics: the system.
    policy: see ``types.Policy``.
    params: of one slice.
    state: one state.
    pending: actions that are executed first.
    noise: of the dynamics, leaves ``[L + H, ...]``.
    keys: of the policy, ``[L + H]``.
  """
  latency = len(pending)

  def step(params: Params, state: State, action: Array, noise: KeyOrNoise) -> State:
    action = action.astype(action_dtype(state))
    return check_step(state, dynamics.step(params, state, action, noise))[0]

  # The rollout is the only particle of its plan; collectives over particles need the axis.
  step_particles = jax.vmap(step, (None, 0, None, 0), axis_name=PARTICLES)

  def body(state: State, x: tuple[Array, Noise, Key]) -> tuple[State, Array]:
    t, noise, key = x
    particle = jax.tree.map(lambda leaf: leaf[0], state)
    action = policy(params, particle, key)
    if latency:
      action = jnp.where(t < latency, pending[jnp.minimum(t, latency - 1)], action)
    noise = jax.tree.map(lambda leaf: leaf[None], noise)
    return step_particles(params, state, action, noise), action.astype(jnp.float32)

  start = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], state)
  return jax.lax.scan(body, start, (jnp.arange(len(keys)), noise, keys))[1][latency:]
