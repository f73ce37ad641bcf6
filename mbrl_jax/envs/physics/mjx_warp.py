"""Simulates a MuJoCo model with MJX's Warp implementation, on NVIDIA GPUs (extra ``warp``).

The kernels are those of MuJoCo Warp, called from XLA; model and state are those of ``mjx``.
Warp stores the contacts of all rows of a batch in one buffer, whose size is fixed before the
contacts are known. So every ``vmap`` around a step, nested or not, is merged into one batch,
and the buffer holds ``CONTACTS`` for each row, or as many as the model can have. A row whose
contacts or constraints overflow becomes NaN, as does one that was not finite before.

Not tested on a GPU. Warp's kernels also run on CPUs, slowly, which ``make_physics`` rejects
and the tests use: there cart-pole and hopper follow MuJoCo C within 1e-4 (positions) and 1e-2
(velocities) for 30 control steps.

Written for mujoco-mjx 3.17 with warp-lang 1.18.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.physics.base import Physics, PhysicsState, keyframe_ctrl
from mbrl_jax.envs.physics.mjx import MjxData, fill_data, first_state
from mbrl_jax.envs.physics.mjx_models import (
  import_mjx,
  stack_models,
  take_model,
  unsupported_message,
)
from mbrl_jax.envs.physics.mjx_support import find_unsupported
from mbrl_jax.envs.physics.sensors import sensor_addresses
from mbrl_jax.ops.extra import import_extra
from mbrl_jax.ops.float32 import single
from mbrl_jax.ops.validate import ArgumentError
from mbrl_jax.types import Array

CONTACTS = 64
"""Capacity in contacts for each row of a batch, on average over the rows."""

_CONTACTS_PER_PAIR = 4  # at most, except for boxes, which rarely have more
_OVERFLOWS = ("NEFC", "NJMAX_NNZ", "BROADPHASE", "NARROWPHASE", "CCD")


def check_warp() -> None:
  """Checks that Warp is installed and that jax computes on an NVIDIA GPU.

  Raises:
    ImportError: Warp is not installed; the message says how to install it.
    ValueError: there is no such GPU; the message names the device.
  """
  import_extra("warp")
  device = jax.devices()[0]
  if device.platform != "gpu" or "NVIDIA" not in device.device_kind.upper():
    raise ArgumentError(
      "physics",
      "warp",
      f"needs an NVIDIA GPU, but jax computes on {device.device_kind!r}; with a GPU run pip "
      "install \"mbrl_jax[warp,cuda13]\", without one use physics='mjx' or 'mujoco'.",
    )


def warp_physics(
  models: Sequence[mujoco.MjModel],
  substeps: int,
  sensors: tuple[int, ...] = (),
  keyframe: int | None = None,
) -> Physics:
  """Builds the physics of ``models`` on Warp; see ``backends.make_physics``."""
  base, count = models[0], len(models)
  first_ctrl = np.float32(keyframe_ctrl(base, keyframe))
  engine = _Engine(base, *stack_models(models, _put_model), sensors)
  advance = merge_batches(functools.partial(engine.step, substeps))
  sense = merge_batches(functools.partial(engine.step, 0))

  def init(
    qpos: Array, qvel: Array, act: Array | None = None, variant: Any = 0
  ) -> PhysicsState:
    state = first_state(base, keyframe, qpos, qvel, act)
    if count > 1:
      state = state._replace(variant=jnp.clip(jnp.int32(variant), 0, count - 1))
    return sense(state, jnp.asarray(first_ctrl)) if sensors else state

  def step(state: PhysicsState, ctrl: Array) -> PhysicsState:
    bare = state._replace(sensors=(), memory=())
    return advance(bare, jnp.asarray(ctrl, jnp.float32))._replace(memory=state.memory)

  return Physics(single(init), single(step), count)


class _Engine(NamedTuple):
  """Steps batches of states.

  Attributes:
    base: the first model.
    stack, axes: all models, see ``stack_models``.
    sensors: ids of the sensors to evaluate.
  """

  base: mujoco.MjModel
  stack: Any
  axes: Any
  sensors: tuple[int, ...]

  def step(self, substeps: int, states: PhysicsState, ctrl: Array) -> PhysicsState:
    """Advances states ``[B, ...]`` by ``substeps``; 0 only evaluates the sensors."""
    blank = _blank(self.base, len(ctrl))
    return jax.vmap(functools.partial(self._step_row, blank, substeps))(states, ctrl)

  def _step_row(
    self, blank: Any, substeps: int, state: PhysicsState, ctrl: Array
  ) -> PhysicsState:
    mjx, model = import_mjx(), self.stack
    if not isinstance(state.variant, tuple):
      model = take_model(self.stack, self.axes, state.variant)
    numbers = state.qpos, state.qvel, *state.data, ctrl
    valid = jnp.stack([jnp.isfinite(x).all() for x in numbers]).all()
    safe = state._replace(
      qpos=jnp.where(valid, state.qpos, np.float32(self.base.qpos0)),
      qvel=jnp.where(valid, state.qvel, 0.0),
      data=jax.tree.map(lambda x: jnp.where(valid, x, 0.0), state.data),
    )
    data = fill_data(blank.replace(ctrl=jnp.where(valid, ctrl, 0.0)), safe)
    advance = lambda data, _: (mjx.step(model, data), None)
    data, _ = jax.lax.scan(advance, data, length=substeps)
    valid &= ((data._impl.overflow & _overflow_bits()) == 0).all()
    values: Any = ()
    if self.sensors:
      sensordata = mjx.forward(model, data).sensordata
      values = sensordata[sensor_addresses(self.base, self.sensors)]
    carried = MjxData(data.act, data.qacc_warmstart, data.time)
    after = data.qpos, data.qvel, carried, values
    qpos, qvel, carried, values = jax.tree.map(lambda x: jnp.where(valid, x, jnp.nan), after)
    return state._replace(qpos=qpos, qvel=qvel, data=carried, sensors=values)


def merge_batches(function: Callable[..., Any]) -> Callable[..., Any]:
  """Makes an unbatched function whose ``vmap`` calls ``function`` once with the whole batch.

  Args:
    function: maps pytrees of arrays ``[B, ...]`` to such pytrees.

  Returns:
    A function of pytrees without that axis; nested ``vmap`` call ``function`` once with
    their product as the batch.
  """

  @jax.custom_batching.custom_vmap
  def rows(*args: Any) -> Any:
    return function(*args)

  @rows.def_vmap
  def merge(size: int, batched: list[Any], *args: Any) -> tuple[Any, Any]:
    broadcast = lambda x, has_axis: x if has_axis else jnp.broadcast_to(x, (size, *x.shape))
    args = jax.tree.map(broadcast, args, tuple(batched))
    count = jax.tree.leaves(args)[0].shape[1]
    flat = jax.tree.map(lambda x: x.reshape(size * count, *x.shape[2:]), args)
    results = jax.tree.map(lambda x: x.reshape(size, count, *x.shape[1:]), rows(*flat))
    return results, jax.tree.map(lambda x: True, results)

  def single(*args: Any) -> Any:
    return jax.tree.map(lambda x: x[0], rows(*jax.tree.map(lambda x: x[None], args)))

  return single


def _put_model(model: mujoco.MjModel) -> Any:
  """Converts a MuJoCo model to Warp's ``mjx.Model``."""
  problem = find_unsupported(model, "Warp")
  if problem:
    raise ValueError(unsupported_message(model, problem, "Warp"))
  try:
    return import_mjx().put_model(model, impl="warp")
  except NotImplementedError as error:
    raise ValueError(unsupported_message(model, str(error), "Warp")) from error


def _blank(model: mujoco.MjModel, rows: int) -> Any:
  """Makes the ``mjx.Data`` of one row in a batch of ``rows``, large arrays on the device."""
  contacts = min(CONTACTS, _CONTACTS_PER_PAIR * _pairs(model))
  sizes = {"naconmax": max(1, rows * contacts), "njmax": max(1, _constraints(model, contacts))}
  with jax.ensure_compile_time_eval():
    data = import_mjx().make_data(model, impl="warp", **sizes)

  def to_device(leaf: Any) -> Array:
    leaf = np.asarray(leaf)
    if leaf.size and (leaf == leaf.flat[0]).all():
      return jnp.full(leaf.shape, leaf.flat[0])  # not a constant stored in the program
    return jnp.asarray(leaf)

  return jax.tree.map(to_device, data)


def _pairs(model: mujoco.MjModel) -> int:
  """Returns the number of geom pairs of different bodies that may collide."""
  kinds, affinities, bodies = model.geom_contype, model.geom_conaffinity, model.geom_bodyid
  allowed = (kinds[:, None] & affinities) | (affinities[:, None] & kinds)
  apart = bodies[:, None] != bodies
  return int(np.triu((allowed != 0) & apart).sum()) + model.npair


def _constraints(model: mujoco.MjModel, contacts: int) -> int:
  """Bounds the constraint rows of one state: contacts, limits, friction and equalities."""
  limits = 2 * int(model.jnt_limited.sum() + model.tendon_limited.sum())
  dims = int(max([1, *model.geom_condim, *model.pair_dim]))
  pyramidal = model.opt.cone == mujoco.mjtCone.mjCONE_PYRAMIDAL
  edges = max(1, 2 * (dims - 1)) if pyramidal else dims
  return edges * contacts + limits + model.nv + model.ntendon + 6 * model.neq


def _overflow_bits() -> int:
  """Returns the bits that Warp sets where a buffer overflowed."""
  from mujoco.mjx.third_party.mujoco_warp._src.types import OverflowType

  return int(sum(OverflowType[name] for name in _OVERFLOWS))
