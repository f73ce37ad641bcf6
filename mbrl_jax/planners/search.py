"""The generic planner: iterate a search over plans, warm start, fall back.

Every planner of this package is one ``Search`` (ask and tell over plans) inside
this loop; see ``types.Search``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.spline import make_spline
from mbrl_jax.ops.validate import ArgumentError, between, positive
from mbrl_jax.planners.optimize import improve
from mbrl_jax.types import (
  Array,
  EvaluateFn,
  Key,
  Params,
  Planner,
  PlanOutput,
  PlanState,
  Proposal,
  Search,
  State,
)


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
  knots: int | None = None,
  interpolation: str = "linear",
  latency: int = 0,
  tolerance: float | None = None,
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
    knots: ``K``, the search works on so many knots instead of on every action;
      ``None``: on every action.
    interpolation: how knots make a plan: ``"zero"``, ``"linear"`` or ``"cubic"``, see
      ``ops.spline``.
    latency: ``L``, control steps between the moment of ``state`` and the moment at which
      the action of this call takes effect. The ``L`` actions chosen before are scored in
      front of every plan; before the first they are zeros, clipped to the bounds.
    tolerance: stop iterating when the mean moves by less than this share of the action
      range; ``None``: do all iterations.

  Returns:
    ``Planner(init, plan, sample)``. ``jax.jit(planner.plan)`` works as it stands; new
    values of params, state or of the floats in ``plan_state`` never retrace.
    Where no plan of an iteration has a finite return the search stays as it
    was, so the worst case executes the shifted previous plan; the number of
    such plans is ``metrics["nonfinite"]``. An update that is not finite is not taken
    either, and counted in ``metrics["refused"]``. Plans, returns and states of searches are
    float32, also with ``JAX_ENABLE_X64``.

  Raises:
    ValueError: bounds that are not finite, ordered and of one shape; a horizon,
      iterations or replan_every below one; replan_every above the horizon; knots that
      do not fit the horizon; a negative latency or tolerance.
  """
  low, high = _check_bounds(action_low, action_high)
  positive(horizon=horizon, iterations=iterations, replan_every=replan_every)
  if replan_every > horizon:
    raise ArgumentError("replan_every", replan_every, "exceeds {}.", ("horizon", horizon))
  between(0, float("inf"), latency=latency, tolerance=tolerance or 0)
  grid = make_spline(horizon, knots, interpolation)
  box = (grid.knots, len(low))

  def plans_of(rows: Array, phase: Array) -> Array:
    # A cubic overshoots its knots, which alone are within the bounds.
    return rows if knots is None else jnp.clip(grid.interpolate(rows, phase), low, high)

  def init() -> PlanState:
    state = search.init(jnp.broadcast_to(low, box), jnp.broadcast_to(high, box))
    none = jnp.zeros((), jnp.int32)
    start = PlanState(
      search=state,
      plan=plans_of(search.mean(state), none),
      value=jnp.zeros((), jnp.float32),
      age=none,
      phase=none,
      committed=jnp.broadcast_to(jnp.clip(0.0, low, high), (latency, len(low))),
      tolerance=jnp.asarray(tolerance or 0.0, jnp.float32),
    )
    # Copies, because leaves that share a buffer could not be donated.
    return jax.tree.map(jnp.copy, start)

  def replan(params: Params, state: State, plan_state: PlanState, key: Key) -> tuple:
    proposal_key, key = jax.random.split(key)
    phase = plan_state.phase
    proposed = _propose(
      proposals, (params, state, plan_state), proposal_key, (horizon, len(low))
    )

    def score(rows: Array, key: Key) -> Array:
      plans = plans_of(rows, phase)
      head = jnp.broadcast_to(plan_state.committed, (len(rows), latency, len(low)))
      returns = evaluate(params, state, jnp.concatenate([head, plans], axis=1), key)
      returns = jnp.asarray(returns, jnp.float32)
      if returns.shape != (len(rows),):
        raise ValueError(
          f"evaluate must give one return for each of the {len(rows)} plans, got shape "
          f"{returns.shape}."
        )
      return returns

    found = improve(
      search,
      score,
      grid.gather(jnp.clip(proposed, low, high), phase),
      plan_state.search,
      jax.random.split(key, iterations),
      span=high - low,
      tolerance=None if tolerance is None else plan_state.tolerance,
    )
    shifted, next_phase = grid.shift(search.shift, found.search, phase, replan_every)
    plan_state = plan_state._replace(
      search=shifted,
      plan=plans_of(search.mean(found.search), phase),
      value=found.value,
      phase=next_phase,
    )
    counts = {name: getattr(found, name) for name in ("nonfinite", "refused", "iterations")}
    return plan_state, counts

  def replay(params: Params, state: State, plan_state: PlanState, key: Key) -> tuple:
    none = jnp.zeros((), jnp.int32)
    return plan_state, dict.fromkeys(("nonfinite", "refused", "iterations"), none)

  def plan(
    params: Params, state: State, plan_state: PlanState, key: Key
  ) -> tuple[PlanOutput, PlanState]:
    args = (params, state, plan_state, key)
    if replan_every == 1:
      plan_state, metrics = replan(*args)
    else:
      plan_state, metrics = jax.lax.cond(plan_state.age == 0, replan, replay, *args)
    action = plan_state.plan[plan_state.age]
    output = PlanOutput(action, plan_state.plan, plan_state.value, metrics)
    committed = jnp.concatenate([plan_state.committed, action[None]])[1:]
    age = (plan_state.age + 1) % replan_every
    return output, plan_state._replace(age=age, committed=committed)

  def sample(plan_state: PlanState, key: Key, size: int) -> Array:
    plans, _ = search.sample(plan_state.search, key, size)
    return plans_of(plans, plan_state.phase)

  return Planner(init, plan, sample)


def _propose(
  proposals: Sequence[Proposal], args: tuple, key: Key, shape: tuple[int, int]
) -> Array:
  """Collects the proposed plans, ``[M, H, A]``; ``shape`` is ``(H, A)``."""
  keys = jax.random.split(key, len(proposals))
  plans = [make(*args, k) for make, k in zip(proposals, keys, strict=True)]
  for plan in plans:
    if plan.ndim != 3 or plan.shape[1:] != shape:
      raise ValueError(
        f"a proposal must have shape [M, H, A] = [M, {shape[0]}, {shape[1]}], got {plan.shape}."
      )
  return jnp.concatenate([jnp.zeros((0, *shape)), *plans]).astype(jnp.float32)


def shift_plan(plan: Array, steps: int, tail: Array) -> Array:
  """Drops the first ``steps`` actions of ``plan [H, A]`` and appends ``tail [A]``."""
  steps = min(steps, len(plan))  # a plan of a few knots may be over altogether
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
