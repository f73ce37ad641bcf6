"""Simulates a MuJoCo model with MuJoCo's C engine from compiled jax code.

A control step is one callback to the host, for a whole batch under ``vmap``, where
``mujoco_engine`` steps it on MuJoCo's own threads. Between calls the state is held only in jax
arrays, the solver's warm start included, so a step is a pure function and runs are
bit-identical across processes and batch sizes.

MuJoCo computes in float64 and jax holds float32. Each number of the state is therefore
stored as a float32 and an int32: its rounding error in ulps of float64 (units in the last
place). Together they restore the float64 exactly, so a control step equals a loop of
``mj_step`` to the last bit. ``qpos`` and ``qvel`` do not include the ulps; code that replaces
a float32 leaves an error of at most half of its last place.

Deviations from calling ``mj_step`` in a loop: numbers below 1e-38, the float32 limit, are
rounded. Sleep (``option flag sleep``) is off, because sleeping is not part of the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.physics.base import Physics, PhysicsState, keyframe_ctrl
from mbrl_jax.envs.physics.host_call import host_call
from mbrl_jax.envs.physics.mujoco_engine import Engine
from mbrl_jax.ops.float32 import single
from mbrl_jax.types import Array

_HUGE = 1e10  # MuJoCo rejects states above this


class MujocoData(NamedTuple):
  """State of a MuJoCo simulation other than the rounded qpos and qvel.

  Attributes:
    time: simulated seconds, rounded to float32 ``[]``.
    act: actuator activations, rounded ``[na]``.
    rest: histories of delays, the solver's warm start and the states of plugins and plastic
      springs, rounded ``[S - 1 - nq - nv - na]``.
    ulps: rounding error of the whole state, in units of float64's last place, int32 ``[S]``.
  """

  time: Array
  act: Array
  rest: Array
  ulps: Array


def mujoco_physics(
  models: Sequence[mujoco.MjModel],
  substeps: int,
  sensors: tuple[int, ...] = (),
  keyframe: int | None = None,
) -> Physics:
  """Builds the physics of ``models`` on MuJoCo C; see ``backends.make_physics``."""
  engine, count = Engine(models, sensors, keyframe), len(models)
  cuts = np.cumsum([1, models[0].nq, models[0].nv, models[0].na]).tolist()
  first_ctrl = np.float32(keyframe_ctrl(models[0], keyframe))

  def call(state: PhysicsState, ctrl: Array, substeps: int) -> PhysicsState:
    time, act, rest, ulps = state.data
    chosen = () if count == 1 else (state.variant[None],)  # exact in float32
    parts = time[None], state.qpos, state.qvel, act, rest, ctrl, *chosen
    floats = jnp.concatenate([jnp.asarray(x, jnp.float32) for x in parts])
    floats, ulps = _call(engine, substeps, floats, jnp.asarray(ulps, jnp.int32))
    time, qpos, qvel, act, rest, values = jnp.split(floats, [*cuts, engine.size])
    data = MujocoData(time[0], act, rest, ulps)
    return state._replace(qpos=qpos, qvel=qvel, data=data, sensors=values if sensors else ())

  def init(
    qpos: Array, qvel: Array, act: Array | None = None, variant: Any = 0
  ) -> PhysicsState:
    time, _, _, first_act, rest = np.split(engine.initial, cuts)
    ulps = engine.initial_ulps.copy()
    ulps[cuts[0] : cuts[-1]] = 0  # qpos, qvel and act start as float32
    act = jnp.asarray(first_act if act is None else act, jnp.float32)
    data = MujocoData(jnp.asarray(time[0]), act, jnp.asarray(rest), jnp.asarray(ulps))
    state = PhysicsState(jnp.asarray(qpos, jnp.float32), jnp.asarray(qvel, jnp.float32), data)
    if count > 1:
      state = state._replace(variant=jnp.clip(jnp.int32(variant), 0, count - 1))
    if not sensors:
      return state
    return state._replace(sensors=call(state, jnp.asarray(first_ctrl), 0).sensors)

  step = lambda state, ctrl: call(state, ctrl, substeps)
  return Physics(single(init), single(step), count)


def _call(engine: Engine, substeps: int, floats: Array, ulps: Array) -> tuple[Array, Array]:
  """Calls ``engine.step`` from traced code, once for a whole ``vmap``."""
  # MuJoCo rejects NaN and huge numbers.
  valid = (jnp.abs(floats) < _HUGE).all()
  blank = np.zeros(floats.shape, np.float32)
  blank[: engine.size] = engine.initial
  bits = jax.lax.bitcast_convert_type(jnp.where(valid, floats, blank), jnp.int32)
  (results,) = host_call(
    lambda packed: (engine.step(substeps, packed),),
    (jax.ShapeDtypeStruct((engine.result_size,), np.int32),),
    jnp.concatenate([bits, ulps]),
  )
  bits, ulps = jnp.split(results, [engine.result_size - engine.size])
  floats = jax.lax.bitcast_convert_type(bits, jnp.float32)
  return jnp.where(valid, floats, jnp.nan), ulps
