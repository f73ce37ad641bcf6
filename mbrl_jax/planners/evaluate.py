"""Scores plans over any dynamics; the only place where a plan is scored.

The return of a particle is ``sum_t discount^t r_t`` over the horizon, up to and including the
step that terminates, plus ``discount^H terminal(state)`` if the particle is still alive. The
return of a plan is a risk measure of the returns of its particles.

Source: Chua et al. 2018 (PETS), for particles and trajectory sampling.

Deviations:
  * The original replaces a NaN return of one particle by a cost of 1e6 and keeps infinities;
    here a non-finite return of any particle makes the plan's return -inf, so that it never
    wins, whatever the sign and scale of the rewards.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding

from mbrl_jax.planners.dynamics_contract import check_plans
from mbrl_jax.planners.rollout import (
  check_particles,
  per_particle,
  roll_out,
  slice_mapper,
  split_keys,
)
from mbrl_jax.planners.rollout_layout import RolloutLayout, check_map_slices, check_sharding
from mbrl_jax.types import Array, Dynamics, EvaluateFn, Key, Params, State


def make_evaluate(
  dynamics: Dynamics,
  *,
  discount: float | Array = 1.0,
  particles: int | None = None,
  risk: Callable[[Array], Array] | None = None,
  terminal: Callable[[Params, State, Key], Array] | None = None,
  rank: Callable[[Array, State], Array] | None = None,
  map_slices: bool | None = None,
  sharding: NamedSharding | None = None,
  unroll: bool = False,
) -> EvaluateFn:
  """Makes ``evaluate(params, state, plans [N, H, A], key) -> returns [N]``.

  Args:
    dynamics: the system to plan over.
    discount: per-step discount.
    particles: ``P``, particles per plan, a multiple of ``dynamics.slices``; default: one per
      slice.
    risk: ``(returns [P]) -> []``; default: the mean. See ``ops.risk``.
    terminal: ``(params, state, key) -> []``, value of a state at the horizon, with the
      slice's params.
    rank: ``(returns [N], final_states) -> returns [N]``, adjusts the returns, given the final
      states of the particles, leaves ``[N, P, ...]``.
    map_slices: see ``rollout.slice_mapper``; slices on several devices are batched.
    sharding: of the rows ``[E, N, P/E]`` (slices, candidates, particles of a slice) over
      devices, for example ``mbrl_jax.row_sharding(mesh)``. Returns equal those of one device
      up to the order of sums. Dynamics that call back to the host do not get faster: every
      device then calls for all rows.
    unroll: compile all ``H`` steps in sequence instead of a loop. Where a step is a few
      operations, as in an analytic model, that is more than twice as fast on CPUs
      (pendulum, 10,000 plans), but takes ``H`` times as long to compile.

  Returns:
    The function, which supports jit and vmap, and is differentiable if the dynamics are.
    Returns are float32; float64 rewards are summed in float64 first.

  Raises:
    ValueError: particles that do not divide among the slices, or slices or particles that do
      not divide among their devices. When traced: plans, params or a step that violate
      their contract.

  Example:
    >>> step = lambda params, x, action, key: (x + action[0], -jnp.abs(x), jnp.array(False))
    >>> evaluate = make_evaluate(Dynamics(step))
    >>> evaluate(None, jnp.float32(2.0), -jnp.ones((1, 3, 1)), jax.random.key(0)).tolist()
    [-3.0]
  """
  particles = check_particles(dynamics, particles)
  sharding = check_sharding(sharding, dynamics, particles)
  map_slices = check_map_slices(map_slices, sharding)
  risk = jnp.mean if risk is None else risk

  def evaluate(params: Params, state: State, plans: Array, key: Key) -> Array:
    check_plans(plans)
    roll_key, terminal_key = jax.random.split(key)
    over_slices = slice_mapper(dynamics, params, map_slices)
    per_slice = particles // dynamics.slices
    layout = RolloutLayout(dynamics.slices, len(plans), per_slice, sharding)
    end, _ = roll_out(
      dynamics, over_slices, layout, state, plans, roll_key, discount=discount, unroll=unroll
    )
    value = end.value
    if terminal is not None:
      keys = layout.draw(split_keys, terminal_key, "ENP")
      tail = over_slices(partial(per_particle, terminal), end.state, keys)
      value = value + jnp.where(end.alive, end.discount * tail, 0.0)
    return _plan_returns(value, end.state, layout, risk, rank)

  return evaluate


def _plan_returns(
  value: Array,
  state: State,
  layout: RolloutLayout,
  risk: Callable[[Array], Array],
  rank: Callable[[Array, State], Array] | None,
) -> Array:
  """Returns the returns ``[N]`` of plans from those of their particles ``[E, N, P/E]``."""
  candidates = layout.candidates
  value = value[:, :candidates]
  by_plan = jnp.swapaxes(value, 0, 1).reshape(candidates, layout.slices * layout.per_slice)
  returns = jax.vmap(risk)(by_plan).astype(jnp.float32)
  valid = jnp.isfinite(returns) & jnp.all(jnp.isfinite(by_plan), axis=1)
  if rank is not None:
    returns = rank(jnp.where(valid, returns, -jnp.inf), _by_plan(state, candidates))
    valid &= jnp.isfinite(returns)
  return jnp.where(valid, returns, -jnp.inf).astype(jnp.float32)


def _by_plan(state: State, candidates: int) -> State:
  """Reshapes leaves ``[E, N, P/E, ...]`` to ``[N, P, ...]``, without padding candidates."""

  def reshape(x: Array) -> Array:
    x = jnp.swapaxes(x[:, :candidates], 0, 1)
    return x.reshape(candidates, -1, *x.shape[3:])

  return jax.tree.map(reshape, state)


def make_predict(
  dynamics: Dynamics, *, particles: int | None = None, map_slices: bool | None = None
) -> Callable[[Params, State, Array, Key], State]:
  """Makes ``predict(params, state, plan [H, A], key) -> states [H + 1, P, ...]``.

  The first row is ``state`` itself. Under TS1 the index of a particle may change from step to
  step.

  Raises:
    ValueError: particles that do not divide among the slices.

  Example:
    >>> step = lambda params, x, action, key: (x + action[0], -jnp.abs(x), jnp.array(False))
    >>> predict = make_predict(Dynamics(step), particles=2)
    >>> predict(None, jnp.float32(2.0), -jnp.ones((2, 1)), jax.random.key(0)).tolist()
    [[2.0, 2.0], [1.0, 1.0], [0.0, 0.0]]
  """
  particles = check_particles(dynamics, particles)

  def predict(params: Params, state: State, plan: Array, key: Key) -> State:
    over_slices = slice_mapper(dynamics, params, map_slices)
    layout = RolloutLayout(dynamics.slices, 1, particles // dynamics.slices)
    _, states = roll_out(
      dynamics, over_slices, layout, state, plan[None], key, discount=1.0, record=True
    )

    def prepend(first: Array, later: Array) -> Array:
      later = later.reshape(later.shape[0], particles, *later.shape[4:])
      first = jnp.broadcast_to(first, (1, particles, *jnp.shape(first)))
      return jnp.concatenate([first.astype(later.dtype), later])

    return jax.tree.map(prepend, state, states)

  return predict
