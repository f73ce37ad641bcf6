"""The generic planner: one search inside a loop of sampling, scoring and updating.

Every planner of this package is one ``Search`` in this loop; see ``types.Search``. Plans,
returns and states of searches are float32, also with ``JAX_ENABLE_X64``.

Where no plan of an iteration has a finite return, or an update is not finite, the search keeps
its state; in the worst case the shifted previous plan is executed. Such plans and updates are
counted in ``metrics["nonfinite"]`` and ``metrics["refused"]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.spline import IdentitySpline, Spline, make_spline
from mbrl_jax.ops.validate import ArgumentError, between, positive
from mbrl_jax.planners.optimize import optimize
from mbrl_jax.types import (
  Array,
  EvaluateFn,
  Key,
  Metrics,
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
    evaluate: ``(params, state, plans [N, H, A], key) -> returns [N]``, for example
      ``make_evaluate(dynamics)``.
    horizon: ``H``, control steps that a plan covers.
    action_low, action_high: bounds ``[A]``, finite.
    iterations: iterations of sampling and updating per replan, each with its own key.
    proposals: functions ``(params, state, plan_state, key) -> plans [M, H, A]`` whose plans,
      clipped to the bounds, compete in every iteration.
    replan_every: control steps that are executed of each plan.
    knots: ``K``, the search optimises the knots of a spline; ``None``: every action.
    interpolation: of the knots: ``"zero"``, ``"linear"`` or ``"cubic"``, see ``ops.spline``.
    latency: ``L``, control steps from the time of ``state`` to the time at which the action
      of this call takes effect. The ``L`` actions chosen before are prepended to every plan
      that is scored; initially they are zeros, clipped to the bounds.
    tolerance: stop iterating when the mean changes by less than this share of the action
      range; ``None``: run all iterations.

  Returns:
    ``Planner(init, plan, sample)``. ``jax.jit(planner.plan)`` works as it stands; new values
    of params, state or of the floats in ``plan_state`` never retrace.

  Raises:
    ValueError: bounds that are not finite, ordered and of one shape; a horizon, iterations or
      replan_every below one; replan_every above the horizon; knots that do not fit the
      horizon; a negative latency or tolerance.

  Example:
    >>> from mbrl_jax.planners import cem
    >>> score = lambda params, state, plans, key: -jnp.sum((plans - state) ** 2, axis=(1, 2))
    >>> options = {"iterations": 5, "action_low": [-1.0], "action_high": [1.0]}
    >>> planner = make_planner(cem(64, 8), score, horizon=3, **options)
    >>> output, plan_state = planner.plan(None, 0.5, planner.init(), jax.random.key(0))
    >>> output.plan.round(1).ravel().tolist()
    [0.5, 0.5, 0.5]
  """
  low, high = _check_bounds(action_low, action_high)
  _check_steps(horizon, iterations, replan_every, latency, tolerance)
  spline = make_spline(horizon, knots, interpolation)
  loop = _PlannerLoop(
    search, evaluate, spline, low, high, horizon, iterations, tuple(proposals), replan_every,
    latency, tolerance,
  )  # fmt: skip
  return Planner(loop.init, loop.plan, loop.sample)


@dataclass(frozen=True, eq=False)
class _PlannerLoop:
  """The three functions of a planner; see ``make_planner`` for the attributes."""

  search: Search
  evaluate: EvaluateFn
  spline: Spline | IdentitySpline
  low: np.ndarray
  high: np.ndarray
  horizon: int
  iterations: int
  proposals: tuple[Proposal, ...]
  replan_every: int
  latency: int
  tolerance: float | None

  def init(self) -> PlanState:
    """Returns the state with which every episode starts."""
    shape = (self.spline.knots, len(self.low))
    state = self.search.init(
      jnp.broadcast_to(self.low, shape), jnp.broadcast_to(self.high, shape)
    )
    zero = jnp.zeros((), jnp.int32)
    start = PlanState(
      search=state,
      plan=self._interpolate(self.search.mean(state), zero),
      value=jnp.zeros((), jnp.float32),
      age=zero,
      phase=zero,
      committed=jnp.broadcast_to(
        jnp.clip(0.0, self.low, self.high), (self.latency, len(self.low))
      ),
      tolerance=jnp.asarray(self.tolerance or 0.0, jnp.float32),
    )
    # Copies, because leaves that share a buffer could not be donated.
    return jax.tree.map(jnp.copy, start)

  def plan(
    self, params: Params, state: State, plan_state: PlanState, key: Key
  ) -> tuple[PlanOutput, PlanState]:
    """Takes one control step: replans, or replays the present plan."""
    args = (params, state, plan_state, key)
    if self.replan_every == 1:
      plan_state, metrics = self._replan(*args)
    else:
      replan_now = plan_state.age == 0
      plan_state, metrics = jax.lax.cond(replan_now, self._replan, _replay, *args)
    action = plan_state.plan[plan_state.age]
    output = PlanOutput(action, plan_state.plan, plan_state.value, metrics)
    committed = jnp.concatenate([plan_state.committed, action[None]])[1:]
    age = (plan_state.age + 1) % self.replan_every
    return output, plan_state._replace(age=age, committed=committed)

  def sample(self, plan_state: PlanState, key: Key, size: int) -> Array:
    """Returns ``size`` candidate plans ``[size, H, A]``."""
    plans, _ = self.search.sample(plan_state.search, key, size)
    return self._interpolate(plans, plan_state.phase)

  def _replan(
    self, params: Params, state: State, plan_state: PlanState, key: Key
  ) -> tuple[PlanState, Metrics]:
    """Runs the iterations and shifts the search to the next replan."""
    proposal_key, key = jax.random.split(key)
    phase, actions = plan_state.phase, len(self.low)
    proposed = self._propose(params, state, plan_state, proposal_key)

    def score(knots: Array, key: Key) -> Array:
      plans = self._interpolate(knots, phase)
      head = jnp.broadcast_to(plan_state.committed, (len(knots), self.latency, actions))
      returns = self.evaluate(params, state, jnp.concatenate([head, plans], axis=1), key)
      return _check_returns(jnp.asarray(returns, jnp.float32), len(knots))

    progress = optimize(
      self.search,
      score,
      self.spline.gather(jnp.clip(proposed, self.low, self.high), phase),
      plan_state.search,
      jax.random.split(key, self.iterations),
      action_range=self.high - self.low,
      tolerance=None if self.tolerance is None else plan_state.tolerance,
    )
    shifted, next_phase = self.spline.shift(
      self.search.shift, progress.search, phase, self.replan_every
    )
    plan_state = plan_state._replace(
      search=shifted,
      plan=self._interpolate(self.search.mean(progress.search), phase),
      value=progress.value,
      phase=next_phase,
    )
    return plan_state, {name: getattr(progress, name) for name in _COUNTS}

  def _propose(self, params: Params, state: State, plan_state: PlanState, key: Key) -> Array:
    """Collects the proposed plans, ``[M, H, A]``."""
    shape = (self.horizon, len(self.low))
    keys = jax.random.split(key, len(self.proposals))
    plans = [
      propose(params, state, plan_state, k)
      for propose, k in zip(self.proposals, keys, strict=True)
    ]
    for plan in plans:
      if plan.ndim != 3 or plan.shape[1:] != shape:
        raise ValueError(
          f"a proposal must have shape [M, H, A] = [M, {shape[0]}, {shape[1]}], "
          f"got {plan.shape}."
        )
    return jnp.concatenate([jnp.zeros((0, *shape)), *plans]).astype(jnp.float32)

  def _interpolate(self, knots: Array, phase: Array) -> Array:
    """Returns the plans ``[..., H, A]`` of knots ``[..., K, A]``, within the bounds."""
    if isinstance(self.spline, IdentitySpline):
      return knots
    # A cubic spline overshoots its knots, and only those are within the bounds.
    return jnp.clip(self.spline.interpolate(knots, phase), self.low, self.high)


_COUNTS = ("nonfinite", "refused", "iterations")
"""Metrics of a control step, and the fields of ``SearchProgress`` that hold them."""


def _replay(
  params: Params, state: State, plan_state: PlanState, key: Key
) -> tuple[PlanState, Metrics]:
  """Keeps the present plan."""
  return plan_state, dict.fromkeys(_COUNTS, jnp.zeros((), jnp.int32))


def _check_returns(returns: Array, count: int) -> Array:
  """Returns ``returns`` if there is one for each of ``count`` plans."""
  if returns.shape != (count,):
    raise ValueError(
      f"evaluate must give one return for each of the {count} plans, got shape {returns.shape}."
    )
  return returns


def _check_steps(
  horizon: int, iterations: int, replan_every: int, latency: int, tolerance: float | None
) -> None:
  """Raises ``ArgumentError`` for the first invalid argument of ``make_planner``."""
  positive(horizon=horizon, iterations=iterations, replan_every=replan_every)
  if replan_every > horizon:
    raise ArgumentError("replan_every", replan_every, "exceeds {}.", ("horizon", horizon))
  between(0, float("inf"), latency=latency, tolerance=tolerance or 0)


def _check_bounds(action_low: Any, action_high: Any) -> tuple[np.ndarray, np.ndarray]:
  """Returns the bounds ``[A]`` as float32, if they are finite and ordered."""
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
