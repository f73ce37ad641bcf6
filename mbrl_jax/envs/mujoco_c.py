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
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import mujoco.rollout
import numpy as np
from jax.experimental.buffer_callback import buffer_callback

from mbrl_jax.envs.physics import Physics, PhysicsState
from mbrl_jax.types import Array

_FULL = mujoco.mjtState.mjSTATE_FULLPHYSICS
_HUGE = 1e10  # MuJoCo itself gives up on states above this


class MujocoData(NamedTuple):
  """What MuJoCo's full physics state holds besides the rounded qpos and qvel.

  Attributes:
    rest: time, then activations and the like, rounded to float32
      ``[S - nq - nv]``.
    remainder: what the rounding of the whole state lost ``[S]``.
  """

  rest: Array
  remainder: Array


def mujoco_physics(model: mujoco.MjModel, substeps: int) -> Physics:
  """Builds the physics of ``model`` on MuJoCo C; see ``physics.make_physics``."""
  engine = _Engine(model, substeps)
  nq, nv, size = model.nq, model.nv, engine.blank.size
  rest = np.float32(np.delete(engine.blank, np.s_[1 : 1 + nq + nv]))
  shapes = tuple(jax.ShapeDtypeStruct((n,), np.float32) for n in (nq, nv, rest.size, size))

  def init(qpos: Array, qvel: Array) -> PhysicsState:
    data = MujocoData(jnp.asarray(rest), jnp.zeros(size, jnp.float32))
    return PhysicsState(jnp.asarray(qpos, jnp.float32), jnp.asarray(qvel, jnp.float32), data)

  def step(state: PhysicsState, ctrl: Array) -> PhysicsState:
    call = functools.partial(_call, engine, shapes)
    qpos, qvel, rest, remainder = call(
      state.qpos, state.qvel, state.data.rest, state.data.remainder, ctrl
    )
    return PhysicsState(qpos, qvel, MujocoData(rest, remainder))

  return Physics(init, step)


def _call(engine: _Engine, shapes: tuple[Any, ...], *arguments: Array) -> tuple[Array, ...]:
  """Calls ``engine.step`` from traced code, once for all of a ``vmap``."""

  def fill(context: Any, out: tuple[Any, ...], *inputs: Any) -> None:
    del context
    results = engine.step(*(np.asarray(x) for x in inputs))
    for buffer, result in zip(out, results, strict=True):
      np.asarray(buffer)[...] = result

  def fetch(*inputs: Any) -> tuple[np.ndarray, ...]:
    return engine.step(*(np.asarray(x) for x in inputs))

  return jax.lax.platform_dependent(
    *(jnp.asarray(x, jnp.float32) for x in arguments),
    cpu=buffer_callback(fill, shapes, vmap_method="broadcast_all"),
    default=lambda *x: jax.pure_callback(fetch, shapes, *x, vmap_method="broadcast_all"),
  )


class _Engine:
  """Steps batches of states on the host with MuJoCo's threads.

  The threads and their ``MjData`` are scratch space made at the first step; a
  lock keeps programs that run side by side apart.
  """

  def __init__(self, model: mujoco.MjModel, substeps: int):
    self.model = copy.copy(model)
    # A diverging state must show, not be replaced by the model's initial one.
    self.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    self.substeps = substeps
    data = mujoco.MjData(self.model)
    self.blank = np.empty(mujoco.mj_stateSize(self.model, _FULL))
    mujoco.mj_getState(self.model, data, self.blank, _FULL)
    self._lock = threading.Lock()
    self._pool: mujoco.rollout.Rollout | None = None
    self._data: list[mujoco.MjData] = []

  def step(
    self,
    qpos: np.ndarray,
    qvel: np.ndarray,
    rest: np.ndarray,
    remainder: np.ndarray,
    ctrl: np.ndarray,
  ) -> tuple[np.ndarray, ...]:
    """Advances states of any leading shape by one control step, all float32."""
    rounded = np.concatenate([rest[..., :1], qpos, qvel, rest[..., 1:]], -1)
    with np.errstate(invalid="ignore"):  # infinity rounds with a NaN remainder
      full = np.float64(rounded) + remainder
    batch = full.shape[:-1]
    full = full.reshape(-1, full.shape[-1])
    ctrl = np.float64(ctrl).reshape(len(full), 1, -1)
    usable = _usable(full) & _usable(ctrl[:, 0])
    full = np.where(usable[:, None], full, self.blank)
    ctrl = np.where(usable[:, None, None], ctrl, 0.0)
    with self._lock, _no_warnings():
      full = self._rollout(full, ctrl)
    full[~usable] = np.nan
    return self._split(full.reshape(*batch, -1))

  def _rollout(self, full: np.ndarray, ctrl: np.ndarray) -> np.ndarray:
    if self._pool is None:
      threads = _cores()
      self._data = [mujoco.MjData(self.model) for _ in range(threads)]
      self._pool = mujoco.rollout.Rollout(nthread=threads)
    states, _ = self._pool.rollout(self.model, self._data, full, ctrl, nstep=self.substeps)
    return states[:, -1]

  def _split(self, full: np.ndarray) -> tuple[np.ndarray, ...]:
    nq, nv = self.model.nq, self.model.nv
    with np.errstate(over="ignore", invalid="ignore"):
      rounded = np.float32(full)
      remainder = np.float32(full - rounded)
    time, qpos, qvel, others = np.split(rounded, [1, 1 + nq, 1 + nq + nv], -1)
    return qpos, qvel, np.concatenate([time, others], -1), remainder


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
