"""Rolling plans out: particles through the slices of any dynamics.

Rows are laid out ``[E, N, P/E]``: particle ``p`` of a plan belongs to slice
``p // (P / E)``. A slice's weights are therefore read once for all its rows and
never gathered per trajectory.

Source: Chua et al. 2018 (PETS), TSinf and TS1, in the form of the released code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.validate import ArgumentError
from mbrl_jax.planners.dynamics_contract import (
  action_dtype,
  check_params,
  check_plans,
  check_step,
  strong,
)
from mbrl_jax.planners.rollout_layout import RolloutLayout
from mbrl_jax.types import PARTICLES, Array, Dynamics, Key, Params, State


class Trajectory(NamedTuple):
  """What particles have accumulated; it travels with them between slices.

  Attributes:
    state: present state, leaves ``[E, N, P/E, ...]``.
    value: discounted rewards so far, ``[E, N, P/E]``; float32, or float64 as the rewards.
    discount: that of the next reward, ``[E, N, P/E]``, of the same type.
    alive: whether the particle has not terminated, ``[E, N, P/E]``.
  """

  state: Any
  value: Array
  discount: Array
  alive: Array


OverSlices = Callable[..., Any]
"""``over_slices(fn, *args) -> fn(slice_params, *args_of_slice)`` stacked over ``E``."""


def check_particles(dynamics: Dynamics, particles: int | None) -> int:
  """Returns the number of particles; default one per slice.

  Raises:
    ValueError: if they do not divide among the slices.
  """
  particles = dynamics.slices if particles is None else particles
  if particles < 1 or particles % dynamics.slices:
    raise ArgumentError(
      "particles",
      particles,
      f"do not divide among slices={dynamics.slices} (the members of the ensemble): each needs "
      f"the same number; use a multiple of {dynamics.slices}.",
    )
  return particles


def roll(
  dynamics: Dynamics,
  over_slices: OverSlices,
  rows: RolloutLayout,
  state: State,
  plans: Array,
  key: Key,
  *,
  discount: float | Array,
  record: bool = False,
  unroll: bool = False,
) -> tuple[Trajectory, Any]:
  """Rolls ``plans [N, H, A]`` out from one state.

  Args:
    dynamics: the system.
    over_slices: from ``slice_mapper``.
    rows: how many rows there are, and where they lie.
    state: one state.
    plans: ``[N, H, A]``.
    key: typed key.
    discount: per-step discount.
    record: also return every state.
    unroll: write all steps out instead of looping.

  Returns:
    The end of all trajectories and, if ``record``, all states after the first,
    leaves ``[H, E, N, P/E, ...]`` (under TS1 particles change places), else None; ``N``
    with the spare candidates of ``rows``.

  Raises:
    ValueError: a step or plans that do not keep their contract, see ``contract``.
  """
  check_plans(plans)
  spread = lambda x: jnp.broadcast_to(x, rows.shape + jnp.shape(x))
  start = Trajectory(
    jax.tree.map(spread, strong(state)),
    value=jnp.zeros(rows.shape, jnp.float32),
    discount=jnp.ones(rows.shape, jnp.float32),
    alive=jnp.ones(rows.shape, bool),
  )
  advance = _slice_step(dynamics, discount)
  plans = jnp.asarray(plans, action_dtype(state))
  actions = jnp.swapaxes(rows.fill(plans, "N"), 0, 1)
  walk = _roll_shuffled if dynamics.shuffle else _roll_fixed
  placed = rows.place(start, "ENP"), rows.place(actions, "HN")
  return walk(dynamics, over_slices, rows, advance, *placed, key, record, unroll)


def per_particle(fn: Callable, params: Params, *args: Any) -> Any:
  """Maps ``fn(params, *args)`` over the leading ``[N, P/E]`` of one slice."""
  axes = (None,) + (0,) * len(args)
  return jax.vmap(jax.vmap(fn, axes, axis_name=PARTICLES), axes)(params, *args)


def split_keys(key: Key, shape: tuple[int, ...]) -> Key:
  """Splits one key to an array of keys of ``shape``."""
  return jax.random.split(key, shape)


def _slice_step(dynamics: Dynamics, discount: float | Array) -> Callable:
  """Makes one step of all trajectories ``[N, P/E]`` of one slice."""

  def one(params: Params, now: Trajectory, action: Array, noise: Any) -> Trajectory:
    answer = dynamics.step(params, now.state, action, noise)
    state, reward, terminated = check_step(now.state, answer)
    value = now.value + jnp.where(now.alive, now.discount * reward, 0.0)
    following = now.discount * jnp.asarray(discount, now.discount.dtype)
    return Trajectory(state, value, following, now.alive & ~terminated)

  over_particles = jax.vmap(one, (None, 0, None, 0), axis_name=PARTICLES)
  return jax.vmap(over_particles, (None, 0, 0, 0))


def _roll_fixed(dynamics, over_slices, rows, advance, start, actions, key, record, unroll):
  """Rolls with each particle staying in its slice (TSinf, DS, MM, E)."""
  noise = rows.draw(dynamics.noise or split_keys, key, "EHNP", H=len(actions))
  first = lambda params, now, noise: advance(params, now, actions[0], _row(noise, 0))
  start = _as_rewards(start, lambda now: over_slices(first, now, noise))

  def roll_slice(params: Params, now: Trajectory, noise: Any) -> tuple[Trajectory, Any]:
    def body(now: Trajectory, x: Any) -> tuple[Trajectory, Any]:
      now = _finish(advance(params, now, *x), unroll)
      return now, now.state if record else None

    return jax.lax.scan(body, now, (actions, noise), unroll=unroll)

  end, states = over_slices(roll_slice, start, noise)
  return end, jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), states)


def _roll_shuffled(dynamics, over_slices, rows, advance, start, actions, key, record, unroll):
  """Rolls with particles changing slices at each step (TS1)."""
  noise_key, shuffle_key = jax.random.split(key)
  noise = rows.draw(dynamics.noise or split_keys, noise_key, "HENP", H=len(actions))
  keys = split_keys(shuffle_key, (len(actions),))
  first = lambda params, now, noise: advance(params, now, actions[0], noise)
  start = _as_rewards(start, lambda now: over_slices(first, now, _row(noise, 0)))

  def body(now: Trajectory, x: Any) -> tuple[Trajectory, Any]:
    action, noise, key = x
    order = rows.fill(draw_order(key, rows.candidates, rows.slices * rows.per_slice), "N")
    now = rows.place(shuffle_particles(now, order), "ENP")
    now = over_slices(lambda p, now, noise: advance(p, now, action, noise), now, noise)
    return _finish(now, unroll), now.state if record else None

  return jax.lax.scan(body, start, (actions, noise, keys), unroll=unroll)


def _as_rewards(start: Trajectory, step: Callable[[Trajectory], Trajectory]) -> Trajectory:
  """Returns ``start`` with sums in the type of the rewards, which ``step`` adds to them."""
  if not jax.config.jax_enable_x64:
    return start  # no reward is wider than float32; the step need not be traced to know
  dtype = jax.eval_shape(step, start).value.dtype
  return start._replace(value=start.value.astype(dtype), discount=start.discount.astype(dtype))


def _row(tree: Any, index: int) -> Any:
  """Takes one row of every leaf."""
  return jax.tree.map(lambda x: x[index], tree)


def _finish(now: Trajectory, unroll: bool) -> Trajectory:
  """Keeps XLA from computing a step anew for each step after it, where none is a loop's."""
  return jax.lax.optimization_barrier(now) if unroll else now


def draw_order(key: Key, candidates: int, particles: int) -> Array:
  """Draws a uniform permutation of the particles for each candidate, ``[N, P]``."""
  return jnp.argsort(jax.random.uniform(key, (candidates, particles), jnp.float32), axis=1)


def shuffle_particles(tree: Any, order: Array) -> Any:
  """Re-assigns each plan's particles to slices.

  Every slice keeps exactly ``P / E`` particles (stratified, as in PETS' TS1), and
  plans are permuted independently of each other.

  Args:
    tree: leaves ``[E, N, P/E, ...]``.
    order: the permutations, ``[N, P]``.

  Returns:
    The same tree with leaves permuted over axes 0 and 2, all leaves alike.
  """
  slices, candidates, per_slice = jax.tree.leaves(tree)[0].shape[:3]

  def permute(x: Array) -> Array:
    rows = jnp.swapaxes(x, 0, 1).reshape(candidates, slices * per_slice, *x.shape[3:])
    rows = jax.vmap(lambda r, o: r[o])(rows, order)
    return jnp.swapaxes(rows.reshape(candidates, slices, per_slice, *x.shape[3:]), 0, 1)

  return jax.tree.map(permute, tree)


def slice_mapper(
  dynamics: Dynamics, params: Params, map_slices: bool | None = None
) -> OverSlices:
  """Makes ``over_slices(fn, *args)`` over the slice axis of ``params`` and ``args``.

  Args:
    dynamics: the system.
    params: its parameters.
    map_slices: run slices one after the other, each as one large product, which
      is faster on CPUs, instead of batched; default: on CPUs.

  Raises:
    ValueError: params without the slice axis that ``dynamics.params_axes`` promises.
  """
  check_params(dynamics, params)
  if map_slices is None:
    map_slices = jax.default_backend() == "cpu"
  if dynamics.slices == 1 and dynamics.params_axes is None:
    add_axis = lambda tree: jax.tree.map(lambda x: x[None], tree)
    drop_axis = lambda tree: jax.tree.map(lambda x: x[0], tree)
    return lambda fn, *args: add_axis(fn(params, *drop_axis(args)))
  if not map_slices:
    return lambda fn, *args: jax.vmap(
      fn, in_axes=(dynamics.params_axes,) + (0,) * len(args), axis_size=dynamics.slices
    )(params, *args)

  def one(fn: Callable, index_and_args: tuple) -> Any:
    index, args = index_and_args
    return fn(_take_slice(params, dynamics.params_axes, index), *args)

  indices = jnp.arange(dynamics.slices)
  return lambda fn, *args: jax.lax.map(partial(one, fn), (indices, args))


def _take_slice(params: Params, axes: Any, index: Array) -> Params:
  """Takes slice ``index`` of ``params`` along the axes prefix ``axes``."""
  is_none = lambda x: x is None
  axes = jax.tree.broadcast(axes, params, is_leaf=is_none)

  def take(axis: int | None, x: Array | None) -> Array | None:
    if axis is None or x is None:
      return x
    return jax.lax.dynamic_index_in_dim(x, index, axis, keepdims=False)

  return jax.tree.map(take, axes, params, is_leaf=is_none)
