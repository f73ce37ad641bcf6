"""Simulates a MuJoCo model with MuJoCo's C engine from inside compiled jax code.

A control step is one call back to the host, for a whole batch under ``vmap``,
where MuJoCo's own threads share the batch. Between calls the full physics state
lives in jax arrays and nowhere else: no warm start or cache hides in the engine, so
a step is a pure function and runs are the same bit for bit across processes.

MuJoCo computes in float64 and jax holds float32. Each number of the state is
therefore carried as a float32 and the float32 remainder of its rounding, which
keeps 48 of the 53 bits; the remainders are not shown in ``qpos`` and ``qvel``.

Dead-locks: on CPU, the callback gets views of XLA's buffers (``buffer_callback``)
and makes no jax array. ``jax.pure_callback`` copies its arguments to new arrays in
the very thread pool in which it blocks and can wait for ever on few cores once they
are large (jax issues 24255 and 25861); it serves only where XLA runs on an
accelerator, whose programs do not wait in that pool.

Deviations from calling ``mj_step`` in a loop: the constraint solver starts from
zero, not from its last solution, at the first sub-step of each control step (tasks
without active constraints do not notice).
"""

from __future__ import annotations

import contextlib
import copy
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import mujoco.rollout
import numpy as np
from jax.experimental.buffer_callback import buffer_callback

from mbrl_jax.envs.physics import Physics, PhysicsState
from mbrl_jax.envs.sensors import sensor_addresses
from mbrl_jax.types import Array

_FULL = mujoco.mjtState.mjSTATE_FULLPHYSICS
_HUGE = 1e10  # MuJoCo itself gives up on states above this


class MujocoData(NamedTuple):
  """What MuJoCo's full physics state holds besides the rounded qpos and qvel.

  Attributes:
    time: seconds simulated so far, rounded to float32 ``[]``.
    act: actuator activations, rounded ``[na]``.
    rest: histories of delays and the state of plugins, rounded ``[S - 1 - nq - nv - na]``.
    remainder: what the rounding of the whole state lost ``[S]``.
  """

  time: Array
  act: Array
  rest: Array
  remainder: Array


def mujoco_physics(
  models: Sequence[mujoco.MjModel], substeps: int, sensors: tuple[int, ...] = ()
) -> Physics:
  """Builds the physics of ``models`` on MuJoCo C; see ``physics.make_physics``."""
  engine, count, nu = _Engine(models, sensors), len(models), models[0].nu
  _, _, _, blank_act, blank_rest = engine.split(np.float32(engine.blank))

  def call(state: PhysicsState, ctrl: Array, substeps: int) -> PhysicsState:
    time, act, rest, remainder = state.data
    variant = jnp.zeros((), jnp.int32) if count == 1 else state.variant
    arguments = time[None], state.qpos, state.qvel, act, rest, remainder, ctrl
    results = _call(engine, substeps, variant, *arguments)
    time, qpos, qvel, act, rest, remainder, values = results
    data = MujocoData(time[0], act, rest, remainder)
    return state._replace(qpos=qpos, qvel=qvel, data=data, sensors=values if sensors else ())

  def init(
    qpos: Array, qvel: Array, act: Array | None = None, variant: Any = 0
  ) -> PhysicsState:
    qpos, qvel, act, rest = (
      jnp.asarray(x, jnp.float32)
      for x in (qpos, qvel, blank_act if act is None else act, blank_rest)
    )
    data = MujocoData(jnp.zeros(()), act, rest, jnp.zeros(engine.blank.size))
    state = PhysicsState(qpos, qvel, data)
    if count > 1:
      state = state._replace(variant=jnp.clip(jnp.int32(variant), 0, count - 1))
    if not sensors:
      return state
    return state._replace(sensors=call(state, jnp.zeros(nu), 0).sensors)

  return Physics(init, lambda state, ctrl: call(state, ctrl, substeps), count)


def _call(
  engine: _Engine, substeps: int, variant: Array, *arguments: Array
) -> tuple[Array, ...]:
  """Calls ``engine.step`` from traced code, once for all of a ``vmap``."""
  shapes = tuple(jax.ShapeDtypeStruct((n,), np.float32) for n in engine.sizes)

  def fill(context: Any, out: tuple[Any, ...], *inputs: Any) -> None:
    del context
    results = engine.step(substeps, *(np.asarray(x) for x in inputs))
    for buffer, result in zip(out, results, strict=True):
      np.asarray(buffer)[...] = result

  def fetch(*inputs: Any) -> tuple[np.ndarray, ...]:
    return engine.step(substeps, *(np.asarray(x) for x in inputs))

  return jax.lax.platform_dependent(
    variant,
    *(jnp.asarray(x, jnp.float32) for x in arguments),
    cpu=buffer_callback(fill, shapes, vmap_method="broadcast_all"),
    default=lambda *x: jax.pure_callback(fetch, shapes, *x, vmap_method="broadcast_all"),
  )


class _Engine:
  """Steps batches of states on the host with MuJoCo's threads.

  The threads and their ``MjData`` are scratch space made at the first step; a
  lock keeps programs that run side by side apart.

  Attributes:
    models: copies of the models; ``model``: the first.
    blank: a state that MuJoCo can start from ``[S]``.
    sizes: of what ``step`` returns.
  """

  def __init__(self, models: Sequence[mujoco.MjModel], sensors: tuple[int, ...]):
    self.models = [copy.copy(model) for model in models]
    for model in self.models:
      # A diverging state must show, not be replaced by the model's initial one.
      model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    self.model = self.models[0]
    data = mujoco.MjData(self.model)
    self.blank = np.empty(mujoco.mj_stateSize(self.model, _FULL))
    mujoco.mj_getState(self.model, data, self.blank, _FULL)
    self._addresses = sensor_addresses(self.model, sensors)
    parts = [part.size for part in self.split(self.blank)]
    self.sizes = (*parts, self.blank.size, self._addresses.size)
    self._lock = threading.Lock()
    self._pool: mujoco.rollout.Rollout | None = None
    self._data: list[mujoco.MjData] = []

  def step(
    self, substeps: int, variant: np.ndarray, *arguments: np.ndarray
  ) -> tuple[np.ndarray, ...]:
    """Advances states of any leading shape by one control step, all float32.

    Args:
      substeps: simulation steps; zero only evaluates the sensors.
      variant: indices of their models.
      *arguments: the parts of the states as in ``split``, their remainders, ctrl.

    Returns:
      The parts, the remainders and the values of the sensors.
    """
    *parts, remainder, ctrl = arguments
    with np.errstate(invalid="ignore"):  # infinity rounds with a NaN remainder
      full = np.float64(np.concatenate(parts, -1)) + remainder
    batch = full.shape[:-1]
    full = full.reshape(-1, full.shape[-1])
    ctrl = np.float64(ctrl).reshape(len(full), 1, -1)
    usable = _usable(full) & _usable(ctrl[:, 0])
    full = np.where(usable[:, None], full, self.blank)
    ctrl = np.where(usable[:, None, None], ctrl, 0.0)
    with self._lock, _no_warnings():
      full, values = self._rollout(self._choose(variant), full, ctrl, substeps)
    full[~usable], values[~usable] = np.nan, np.nan
    with np.errstate(over="ignore", invalid="ignore"):
      rounded, values = np.float32(full), np.float32(values)
      remainder = np.float32(full - rounded)
    results = (*self.split(rounded), remainder, values)
    return tuple(x.reshape(*batch, -1) for x in results)

  def split(self, full: np.ndarray) -> list[np.ndarray]:
    """Splits states ``[..., S]`` into time, qpos, qvel, act and the rest."""
    model = self.model
    return np.split(full, np.cumsum([1, model.nq, model.nv, model.na]), -1)

  def _choose(self, variant: np.ndarray) -> mujoco.MjModel | list[mujoco.MjModel]:
    """Returns the model of each row, or the only one."""
    if len(self.models) == 1:
      return self.model
    return [self.models[i] for i in variant.ravel()]

  def _rollout(
    self, models: Any, full: np.ndarray, ctrl: np.ndarray, substeps: int
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns the states ``[B, S]`` after the steps and the sensors at them."""
    if self._pool is None:
      threads = _cores()
      self._data = [mujoco.MjData(self.model) for _ in range(threads)]
      self._pool = mujoco.rollout.Rollout(nthread=threads)
    # A step leaves the sensors of the state that it began with: one more shows ours.
    steps = substeps + bool(self._addresses.size)
    states, values = self._pool.rollout(models, self._data, full, ctrl, nstep=steps)
    after = states[:, substeps - 1] if substeps else full
    return after, values[:, -1, self._addresses]


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
  """Keeps MuJoCo from writing a log file; a state that diverges shows as NaN."""
  before = mujoco.get_mju_user_warning()
  mujoco.set_mju_user_warning(lambda message: None)
  try:
    yield
  finally:
    mujoco.set_mju_user_warning(before)


def _cores() -> int:
  """Counts the cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def _usable(rows: np.ndarray) -> np.ndarray:
  """Tells which rows MuJoCo can start from: neither NaN nor huge."""
  return (np.abs(rows) < _HUGE).all(-1)
