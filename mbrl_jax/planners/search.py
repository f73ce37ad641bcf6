"""The generic planner: iterate a search over plans, warm start, fall back.

Every planner of this package is one ``Search`` (ask and tell over plans) inside
this loop; see ``types.Search``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.validate import positive
from mbrl_jax.types import (
  Array,
  EvaluateFn,
  Key,
  Params,
  Planner,
  PlanOutput,
  PlanState,
  Search,
  State,
)

Proposal = Callable[[Params, State, PlanState, Key], Array]


def make_planner(
  search: Search,
  evaluate: EvaluateFn,
  *,
  horizon: int,
  action_low: Any,
  action_high: Any,
  iterations: int = 1,
  proposals: Sequence[Proposal] = (),
  replan_every: int = 1,
) -> Planner:
  """Makes a planner from a search and a scoring function.

  Args:
    search: for example ``cem(...)``.
    evaluate: ``(params, state, plans [N, H, A], key) -> returns [N]``, for
      example ``make_evaluate(dynamics)``.
    horizon: ``H``, control steps that a plan covers.
    action_low, action_high: bounds ``[A]``, finite.
    iterations: rounds of sampling and updating per replan, each with its own key.
    proposals: functions ``(params, state, plan_state, key) -> plans [M, H, A]``
      whose plans, clipped to the bounds, compete in every iteration.
    replan_every: control steps that are executed of each plan.

  Returns:
    ``Planner(init, plan)``. ``jax.jit(planner.plan)`` works as it stands; new
    values of params, state or of the floats in ``plan_state`` never retrace.
    Where no plan of an iteration has a finite return the search stays as it
    was, so the worst case executes the shifted previous plan; the number of
    such plans is ``metrics["nonfinite"]``.

  Raises:
    ValueError: bounds that are not finite, ordered and of one shape; a horizon,
      iterations or replan_every below one; replan_every above the horizon.
  """
  low, high = _check_bounds(action_low, action_high)
  positive(horizon=horizon, iterations=iterations, replan_every=replan_every)
  if replan_every > horizon:
    raise ValueError(f"replan_every={replan_every} exceeds horizon={horizon}.")
  box = (horizon, len(low))

  def init() -> PlanState:
    bounds = jnp.broadcast_to(low, box), jnp.broadcast_to(high, box)
    state = search.init(*bounds)
    value, age = jnp.zeros(()), jnp.zeros((), jnp.int32)
    # Copies, because leaves that share a buffer could not be donated.
    return jax.tree.map(jnp.copy, PlanState(state, search.mean(state), value, age))

  def propose(args: tuple, key: Key) -> list[Array]:
    keys = jax.random.split(key, len(proposals))
    plans = [make(*args, k) for make, k in zip(proposals, keys, strict=True)]
    return [jnp.clip(x, low, high) for x in plans]

  def replan(params: Params, state: State, plan_state: PlanState, key: Key) -> tuple:
    proposal_key, key = jax.random.split(key)
    proposed = propose((params, state, plan_state), proposal_key)
    score = lambda plans, key: evaluate(params, state, plans, key)
    keys = jax.random.split(key, iterations)
    found, value, nonfinite = _improve(search, score, proposed, plan_state.search, keys)
    next_search = search.shift(found, replan_every)
    return PlanState(next_search, search.mean(found), value, plan_state.age), nonfinite

  def replay(params: Params, state: State, plan_state: PlanState, key: Key) -> tuple:
    return plan_state, jnp.zeros((), jnp.int32)

  def plan(
    params: Params, state: State, plan_state: PlanState, key: Key
  ) -> tuple[PlanOutput, PlanState]:
    args = (params, state, plan_state, key)
    if replan_every == 1:
      plan_state, nonfinite = replan(*args)
    else:
      plan_state, nonfinite = jax.lax.cond(plan_state.age == 0, replan, replay, *args)
    action = plan_state.plan[plan_state.age]
    metrics = {"nonfinite": nonfinite}
    output = PlanOutput(action, plan_state.plan, plan_state.value, metrics)
    return output, plan_state._replace(age=(plan_state.age + 1) % replan_every)

  return Planner(init, plan)


def _improve(
  search: Search,
  score: Callable[[Array, Key], Array],
  proposed: list[Array],
  state: Any,
  keys: Key,
) -> tuple[Any, Array, Array]:
  """Runs one iteration for each key.

  Args:
    search: the search.
    score: ``(plans [N, H, A], key) -> returns [N]``.
    proposed: plans ``[M, H, A]`` that compete in every iteration.
    state: the search's state.
    keys: one for each iteration.

  Returns:
    The new state, the best return ``[]`` and the number of plans without one ``[]``.
  """

  def iterate(state: Any, key: Key, size: int) -> tuple[Any, tuple[Array, Array]]:
    sample_key, score_key = jax.random.split(key)
    plans = jnp.concatenate([search.sample(state, sample_key, size), *proposed])
    returns = score(plans, score_key)
    finite = jnp.isfinite(returns)
    updated = search.update(state, plans, jnp.where(finite, returns, -jnp.inf))
    state = jax.tree.map(lambda new, old: jnp.where(finite.any(), new, old), updated, state)
    return state, (jnp.max(returns, initial=-jnp.inf, where=finite), jnp.sum(~finite))

  best, nonfinite, start = [], [], 0
  # Equal sizes share one compiled loop; a decaying population has one each.
  for size, group in itertools.groupby(search.sizes(len(keys))):
    stop = start + len(list(group))
    body = lambda state, key, size=size: iterate(state, key, size)
    state, (values, counts) = jax.lax.scan(body, state, keys[start:stop])
    best, nonfinite, start = [*best, values], [*nonfinite, counts], stop
  return state, jnp.max(jnp.concatenate(best)), jnp.sum(jnp.concatenate(nonfinite))


def shift_plan(plan: Array, steps: int, tail: Array) -> Array:
  """Drops the first ``steps`` actions of ``plan [H, A]`` and appends ``tail [A]``."""
  kept = plan[steps:]
  return jnp.concatenate([kept, jnp.broadcast_to(tail, (steps, plan.shape[1]))])


def _check_bounds(action_low: Any, action_high: Any) -> tuple[np.ndarray, np.ndarray]:
  low = np.asarray(action_low, np.float32)
  high = np.asarray(action_high, np.float32)
  if low.ndim != 1 or low.shape != high.shape:
    raise ValueError(
      f"action_low and action_high must both have shape [A], got {low.shape} and {high.shape}."
    )
  if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
    raise ValueError(
      f"action bounds must be finite with low < high, got {low.tolist()} and {high.tolist()}."
    )
  return low, high
