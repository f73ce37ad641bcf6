"""Scoring of plans over any dynamics: the only place where a plan is scored.

A plan's return is, per particle, ``sum_t discount^t r_t`` over the horizon, up
to and including the step that terminates, plus ``discount^H terminal(state)``
if the particle is still alive; then a risk measure over all particles.

Source: Chua et al. 2018 (PETS), for particles and trajectory sampling.

Deviations:
  * The original replaces a NaN return of one particle by a cost of 1e6 and lets
    infinities through; here a non-finite return of any particle makes the
    plan's return -inf, so that it never wins in tasks of any sign and scale.
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
  roll,
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
    particles: ``P``, samples of each plan's future, a multiple of
      ``dynamics.slices``; default one per slice.
    risk: ``(returns [P]) -> []``; default the mean. See ``ops.risk``.
    terminal: ``(params, state, key) -> []``, value of a state at the horizon;
      gets the slice's params.
    rank: ``(returns [N], ends) -> returns [N]``, has the last word on the returns, given
      the states in which the particles end, leaves ``[N, P, ...]``.
    map_slices: see ``rollout.slice_mapper``; slices on several devices are batched.
    sharding: over the rows ``[E, N, P/E]`` (slices, candidates, particles of a slice),
      for example ``runtime.mesh.row_sharding(mesh)``: on which devices they are rolled
      out. The returns are those of one device but for the order of sums. Dynamics that
      call back to the host gain nothing: every device then calls for all rows.
    unroll: compile all ``H`` steps one behind the other instead of a loop. Where a step is
      a few operations, as of an analytic model, that is more than twice as fast on CPUs
      (pendulum, 10,000 plans); it takes ``H`` times as long to compile.

  Returns:
    The function: jit-able, vmap-able, differentiable where the dynamics are. Returns are
    float32; where rewards are float64 they are added up as such before.

  Raises:
    ValueError: particles that do not divide among the slices, or slices or particles
      among their devices. When traced: plans, params or a step that do not keep
      their contract, named with what is expected.
  """
  particles = check_particles(dynamics, particles)
  sharding = check_sharding(sharding, dynamics, particles)
  map_slices = check_map_slices(map_slices, sharding)
  risk = jnp.mean if risk is None else risk

  def evaluate(params: Params, state: State, plans: Array, key: Key) -> Array:
    check_plans(plans)
    roll_key, terminal_key = jax.random.split(key)
    over_slices = slice_mapper(dynamics, params, map_slices)
    rows = RolloutLayout(dynamics.slices, len(plans), particles // dynamics.slices, sharding)
    options = {"discount": discount, "unroll": unroll}
    end, _ = roll(dynamics, over_slices, rows, state, plans, roll_key, **options)
    value = end.value
    if terminal is not None:
      keys = rows.draw(split_keys, terminal_key, "ENP")
      tail = over_slices(partial(per_particle, terminal), end.state, keys)
      value = value + jnp.where(end.alive, end.discount * tail, 0.0)
    value = value[:, : rows.candidates]
    by_plan = jnp.swapaxes(value, 0, 1).reshape(plans.shape[0], particles)
    returns = jax.vmap(risk)(by_plan).astype(jnp.float32)
    usable = jnp.isfinite(returns) & jnp.all(jnp.isfinite(by_plan), axis=1)
    if rank is not None:
      returns = rank(jnp.where(usable, returns, -jnp.inf), _by_plan(end.state, len(plans)))
      usable &= jnp.isfinite(returns)
    return jnp.where(usable, returns, -jnp.inf).astype(jnp.float32)

  return evaluate


def _by_plan(state: State, candidates: int) -> State:
  """Lays leaves ``[E, N, P/E, ...]`` out as ``[N, P, ...]``, without spare candidates."""

  def lay(x: Array) -> Array:
    x = jnp.swapaxes(x[:, :candidates], 0, 1)
    return x.reshape(candidates, -1, *x.shape[3:])

  return jax.tree.map(lay, state)


def make_predict(
  dynamics: Dynamics, *, particles: int | None = None, map_slices: bool | None = None
) -> Callable[[Params, State, Array, Key], State]:
  """Makes ``predict(params, state, plan [H, A], key) -> states [H + 1, P, ...]``.

  The first row is ``state`` itself. Under TS1 a particle may change its place
  from step to step.

  Raises:
    ValueError: particles that do not divide among the slices.
  """
  particles = check_particles(dynamics, particles)

  def predict(params: Params, state: State, plan: Array, key: Key) -> State:
    over_slices = slice_mapper(dynamics, params, map_slices)
    rows = RolloutLayout(dynamics.slices, 1, particles // dynamics.slices)
    options = {"discount": 1.0, "record": True}
    _, states = roll(dynamics, over_slices, rows, state, plan[None], key, **options)

    def join(first: Array, later: Array) -> Array:
      later = later.reshape(later.shape[0], particles, *later.shape[4:])
      first = jnp.broadcast_to(first, (1, particles, *jnp.shape(first)))
      return jnp.concatenate([first.astype(later.dtype), later])

    return jax.tree.map(join, state, states)

  return predict
