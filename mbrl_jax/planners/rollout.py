"""Rolls out plans: particles through the slices of any dynamics.

Rows have the layout ``[E, N, P/E]``: particle ``p`` of a plan belongs to slice
``p // (P / E)``. The parameters of a slice are therefore read once for all its rows and never
gathered per trajectory.

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
  strongly_typed,
)
from mbrl_jax.planners.particle_shuffle import draw_permutations, shuffle_particles
from mbrl_jax.planners.rollout_layout import RolloutLayout
from mbrl_jax.types import (
  PARTICLES,
  Array,
  Dynamics,
  Key,
  KeyOrNoise,
  Noise,
  Params,
  State,
)


class Trajectory(NamedTuple):
  """State and return of particles, which they keep when they change slices.

  Attributes:
    state: current state, leaves ``[E, N, P/E, ...]``.
    value: sum of discounted rewards, ``[E, N, P/E]``; float32, or float64 if the rewards are.
    discount: of the next reward, ``[E, N, P/E]``, of the same dtype.
    alive: whether the particle has not terminated, ``[E, N, P/E]``.
  """

  state: Any
  value: Array
  discount: Array
  alive: Array


SliceMap = Callable[..., Any]
"""``over_slices(fn, *args) -> fn(slice_params, *args_of_slice)``, stacked over ``E``."""

_Step = Callable[[Params, Trajectory, Array, Noise], Trajectory]
"""``(slice_params, trajectories [N, P/E], action [N, A], noise) -> trajectories``."""


class _Rollout(NamedTuple):
  """Constants of a rollout; see ``roll_out`` for the attributes."""

  dynamics: Dynamics
  over_slices: SliceMap
  layout: RolloutLayout
  step: _Step
  record: bool
  unroll: bool


def check_particles(dynamics: Dynamics, particles: int | None) -> int:
  """Returns the number of particles; default: one per slice.

  Raises:
    ValueError: if it is not a multiple of the number of slices.
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


def roll_out(
  dynamics: Dynamics,
  over_slices: SliceMap,
  layout: RolloutLayout,
  state: State,
  plans: Array,
  key: Key,
  *,
  discount: float | Array,
  record: bool = False,
  unroll: bool = False,
) -> tuple[Trajectory, Any]:
  """Rolls out ``plans [N, H, A]`` from one state.

  Args:
    dynamics: the system.
    over_slices: from ``slice_mapper``.
    layout: the batch axes and their sharding.
    state: one state.
    plans: ``[N, H, A]``.
    key: typed key.
    discount: per-step discount.
    record: also return every state.
    unroll: unroll the loop over steps.

  Returns:
    The final trajectories and, if ``record``, all states after the first, leaves
    ``[H, E, N, P/E, ...]`` (under TS1 the index of a particle changes), else None. ``N``
    includes the padding candidates of ``layout``.

  Raises:
    ValueError: a step or plans that violate their contract, see ``dynamics_contract``.
  """
  check_plans(plans)
  broadcast = lambda x: jnp.broadcast_to(x, layout.shape + jnp.shape(x))
  start = Trajectory(
    jax.tree.map(broadcast, strongly_typed(state)),
    value=jnp.zeros(layout.shape, jnp.float32),
    discount=jnp.ones(layout.shape, jnp.float32),
    alive=jnp.ones(layout.shape, bool),
  )
  step = _slice_step(dynamics, discount)
  plans = jnp.asarray(plans, action_dtype(state))
  actions = jnp.swapaxes(layout.pad(plans, "N"), 0, 1)
  start, actions = layout.shard(start, "ENP"), layout.shard(actions, "HN")
  roll = _roll_out_shuffled if dynamics.shuffle else _roll_out_fixed
  rollout = _Rollout(dynamics, over_slices, layout, step, record, unroll)
  return roll(rollout, start, actions, key)


def per_particle(fn: Callable[..., Any], params: Params, *args: Any) -> Any:
  """Maps ``fn(params, *args)`` over the leading axes ``[N, P/E]`` of one slice."""
  axes = (None,) + (0,) * len(args)
  return jax.vmap(jax.vmap(fn, axes, axis_name=PARTICLES), axes)(params, *args)


def split_keys(key: Key, shape: tuple[int, ...]) -> Key:
  """Splits one key into an array of keys of ``shape``."""
  return jax.random.split(key, shape)


def _slice_step(dynamics: Dynamics, discount: float | Array) -> _Step:
  """Makes one step of all trajectories ``[N, P/E]`` of one slice."""

  def step(
    params: Params, trajectory: Trajectory, action: Array, noise: KeyOrNoise
  ) -> Trajectory:
    output = dynamics.step(params, trajectory.state, action, noise)
    state, reward, terminated = check_step(trajectory.state, output)
    alive = trajectory.alive
    value = trajectory.value + jnp.where(alive, trajectory.discount * reward, 0.0)
    next_discount = trajectory.discount * jnp.asarray(discount, trajectory.discount.dtype)
    return Trajectory(state, value, next_discount, alive & ~terminated)

  over_particles = jax.vmap(step, (None, 0, None, 0), axis_name=PARTICLES)
  return jax.vmap(over_particles, (None, 0, 0, 0))


def _roll_out_fixed(
  rollout: _Rollout, start: Trajectory, actions: Array, key: Key
) -> tuple[Trajectory, Any]:
  """Rolls out with each particle staying in its slice (TSinf, DS, MM, E)."""
  dynamics, over_slices, layout, step, record, unroll = rollout
  noise = layout.draw(dynamics.noise or split_keys, key, "EHNP", H=len(actions))
  first = lambda params, carry, noise: step(params, carry, actions[0], _index(noise, 0))
  start = _with_reward_dtype(start, lambda carry: over_slices(first, carry, noise))

  def roll_slice(params: Params, carry: Trajectory, noise: Noise) -> tuple[Trajectory, Any]:
    def body(carry: Trajectory, x: tuple[Array, Noise]) -> tuple[Trajectory, Any]:
      carry = _barrier(step(params, carry, *x), unroll)
      return carry, carry.state if record else None

    return jax.lax.scan(body, carry, (actions, noise), unroll=unroll)

  end, states = over_slices(roll_slice, start, noise)
  return end, jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), states)


def _roll_out_shuffled(
  rollout: _Rollout, start: Trajectory, actions: Array, key: Key
) -> tuple[Trajectory, Any]:
  """Rolls out with particles changing slices at each step (TS1)."""
  dynamics, over_slices, layout, step, record, unroll = rollout
  noise_key, shuffle_key = jax.random.split(key)
  noise = layout.draw(dynamics.noise or split_keys, noise_key, "HENP", H=len(actions))
  keys = split_keys(shuffle_key, (len(actions),))
  first = lambda params, carry, noise: step(params, carry, actions[0], noise)
  start = _with_reward_dtype(start, lambda carry: over_slices(first, carry, _index(noise, 0)))

  def body(carry: Trajectory, x: tuple[Array, Noise, Key]) -> tuple[Trajectory, Any]:
    action, noise, key = x
    particles = layout.slices * layout.per_slice
    order = layout.pad(draw_permutations(key, layout.candidates, particles), "N")
    carry = layout.shard(shuffle_particles(carry, order), "ENP")
    carry = over_slices(lambda p, now, noise: step(p, now, action, noise), carry, noise)
    return _barrier(carry, unroll), carry.state if record else None

  return jax.lax.scan(body, start, (actions, noise, keys), unroll=unroll)


def _with_reward_dtype(
  start: Trajectory, step: Callable[[Trajectory], Trajectory]
) -> Trajectory:
  """Returns ``start`` with sums in the dtype of the rewards that ``step`` adds to them."""
  if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]  # jax's stub lacks flags
    return start  # rewards are float32 at most, so that the step need not be traced
  dtype = jax.eval_shape(step, start).value.dtype
  return start._replace(value=start.value.astype(dtype), discount=start.discount.astype(dtype))


def _index(tree: Any, index: int) -> Any:
  """Takes one entry of the leading axis of every leaf."""
  return jax.tree.map(lambda x: x[index], tree)


def _barrier(trajectory: Trajectory, unroll: bool) -> Trajectory:
  """Keeps XLA from recomputing an unrolled step in each of the steps after it."""
  return jax.lax.optimization_barrier(trajectory) if unroll else trajectory


def slice_mapper(
  dynamics: Dynamics, params: Params, map_slices: bool | None = None
) -> SliceMap:
  """Makes ``over_slices(fn, *args)`` over the slice axis of ``params`` and ``args``.

  Args:
    dynamics: the system.
    params: its parameters.
    map_slices: run slices sequentially, each as one large matrix product, which is faster on
      CPUs, instead of batched; default: on CPUs only.

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

  def run_slice(fn: Callable[..., Any], index_and_args: tuple[Array, tuple[Any, ...]]) -> Any:
    index, args = index_and_args
    return fn(_take_slice(params, dynamics.params_axes, index), *args)

  indices = jnp.arange(dynamics.slices)
  return lambda fn, *args: jax.lax.map(partial(run_slice, fn), (indices, args))


def _take_slice(params: Params, axes: Any, index: Array) -> Params:
  """Takes slice ``index`` of ``params`` along the axes prefix ``axes``."""
  is_none = lambda x: x is None
  axes = jax.tree.broadcast(axes, params, is_leaf=is_none)

  def take(axis: int | None, x: Array | None) -> Array | None:
    if axis is None or x is None:
      return x
    return jax.lax.dynamic_index_in_dim(x, index, axis, keepdims=False)

  return jax.tree.map(take, axes, params, is_leaf=is_none)
