"""Simulates a MuJoCo model with MuJoCo's C engine from inside compiled jax code.

A control step is one call back to the host, for a whole batch under ``vmap``,
where MuJoCo's own threads share the batch. Between calls the full physics state
lives in jax arrays and nowhere else: no warm start or cache hides in the engine, so
a step is a pure function and runs are the same bit for bit across processes.

MuJoCo computes in float64 and jax holds float32. Each number of the state is
therefore carried as a float32 and the float32 remainder of its rounding, which
keeps 48 of the 53 bits; the remainders are not shown in ``qpos`` and ``qvel``. Times decide
when a sensor samples and what a delay reads, so the time and the histories carry a third
float32 and lose nothing.

Deviations from calling ``mj_step`` in a loop: the constraint solver starts from
zero, not from its last solution, at the first sub-step of each control step (tasks
without active constraints do not notice).
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import mujoco.rollout
import numpy as np

from mbrl_jax.envs.host_call import host_call
from mbrl_jax.envs.physics import Physics, PhysicsState, keyframe_ctrl
from mbrl_jax.envs.sensors import sensor_addresses
from mbrl_jax.ops.single import single
from mbrl_jax.types import Array

_FULL = mujoco.mjtState.mjSTATE_FULLPHYSICS
# Sensors that gravity, springs, constraints and actuation do not change.
_KINEMATIC = (
  "VELOCIMETER GYRO MAGNETOMETER RANGEFINDER CAMPROJECTION JOINTPOS JOINTVEL TENDONPOS "
  "TENDONVEL BALLQUAT BALLANGVEL FRAMEPOS FRAMEQUAT FRAMEXAXIS FRAMEYAXIS FRAMEZAXIS "
  "FRAMELINVEL FRAMEANGVEL SUBTREECOM SUBTREELINVEL SUBTREEANGMOM INSIDESITE GEOMDIST "
  "GEOMNORMAL GEOMFROMTO E_KINETIC CLOCK "
)
_HUGE = 1e10  # MuJoCo itself gives up on states above this
_LOCK = threading.Lock()  # one for all engines, because MuJoCo has one handler of warnings


class MujocoData(NamedTuple):
  """What MuJoCo's full physics state holds besides the rounded qpos and qvel.

  Attributes:
    time: seconds simulated so far, rounded to float32 ``[]``.
    act: actuator activations, rounded ``[na]``.
    rest: histories of delays and the states of plugins and plastic springs, rounded
      ``[S - 1 - nq - nv - na]``.
    remainder: what the rounding of the whole state lost ``[S]``.
    residue: what time and ``rest`` lack even so ``[S - nq - nv - na]``.
  """

  time: Array
  act: Array
  rest: Array
  remainder: Array
  residue: Array


def mujoco_physics(
  models: Sequence[mujoco.MjModel],
  substeps: int,
  sensors: tuple[int, ...] = (),
  keyframe: int | None = None,
) -> Physics:
  """Builds the physics of ``models`` on MuJoCo C; see ``physics.make_physics``."""
  engine, count = _Engine(models, sensors, keyframe), len(models)
  first_ctrl = np.float32(keyframe_ctrl(models[0], keyframe))

  def call(state: PhysicsState, ctrl: Array, substeps: int) -> PhysicsState:
    time, act, rest, remainder, residue = state.data
    chosen = () if count == 1 else (state.variant[None],)  # exact in float32
    parts = time[None], state.qpos, state.qvel, act, rest, remainder, residue, ctrl, *chosen
    packed = jnp.concatenate([jnp.asarray(x, jnp.float32) for x in parts])
    results = jnp.split(_call(engine, substeps, packed), [*engine.cuts, *engine.ends])
    time, qpos, qvel, act, rest, remainder, residue, values = results
    data = MujocoData(time[0], act, rest, remainder, residue)
    return state._replace(qpos=qpos, qvel=qvel, data=data, sensors=values if sensors else ())

  def init(
    qpos: Array, qvel: Array, act: Array | None = None, variant: Any = 0
  ) -> PhysicsState:
    data = jax.tree.map(jnp.asarray, engine.first)
    if act is not None:
      data = data._replace(act=jnp.asarray(act, jnp.float32))
    state = PhysicsState(jnp.asarray(qpos, jnp.float32), jnp.asarray(qvel, jnp.float32), data)
    if count > 1:
      state = state._replace(variant=jnp.clip(jnp.int32(variant), 0, count - 1))
    if not sensors:
      return state
    return state._replace(sensors=call(state, jnp.asarray(first_ctrl), 0).sensors)

  step = lambda state, ctrl: call(state, ctrl, substeps)
  return Physics(single(init), single(step), count)


def _call(engine: _Engine, substeps: int, packed: Array) -> Array:
  """Calls ``engine.step`` from traced code, once for all of a ``vmap``."""
  # MuJoCo can not start from what is NaN or huge; here the test costs nothing.
  usable = (jnp.abs(packed) < _HUGE).all()
  blank = np.zeros(packed.shape, np.float32)
  blank[: engine.blank.size] = engine.blank
  (results,) = host_call(
    lambda packed: (engine.step(substeps, packed),),
    (jax.ShapeDtypeStruct((engine.results,), np.float32),),
    jnp.where(usable, packed, blank),
  )
  return jnp.where(usable, results, jnp.nan)


class _Engine:
  """Steps batches of states on the host with MuJoCo's threads.

  What goes in is one float32 array ``[..., 2 S + E + nu]`` (and one more column, the index
  of the model, where there are several): the states, their remainders and residues, the
  controls. What comes out is ``[..., results]``: states, remainders, residues and values of
  the sensors. One array each way, because every buffer costs a call back microseconds.

  The threads and their ``MjData`` are scratch space made at the first step; a
  lock keeps programs that run side by side apart. All numbers must be usable.

  Attributes:
    blank: a state that MuJoCo can start from ``[S]``.
    first: what states carry at the start, but for qpos and qvel.
    cuts: where a state is split into time, qpos, qvel, act and the rest.
    ends: where the states, their remainders and their residues end.
    results: columns of what comes out.
  """

  def __init__(
    self,
    models: Sequence[mujoco.MjModel],
    sensors: tuple[int, ...],
    keyframe: int | None = None,
  ):
    self._models = [copy.copy(model) for model in models]
    for model in self._models:
      # A diverging state must show, not be replaced by the model's initial one.
      model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
      # With it the sensor e_kinetic shows the energy of whatever was computed last.
      model.opt.enableflags &= ~int(mujoco.mjtEnableBit.mjENBL_ENERGY)
    model = self._models[0]
    size = mujoco.mj_stateSize(model, _FULL)
    self.blank = np.empty(size)
    self._data = mujoco.MjData(model)
    if keyframe is not None:
      mujoco.mj_resetDataKeyframe(model, self._data, keyframe)
    mujoco.mj_getState(model, self._data, self.blank, _FULL)
    self._addresses = sensor_addresses(model, sensors)
    self._looks = [_look(model, sensors) for model in self._models]
    self.cuts = np.cumsum([1, model.nq, model.nv, model.na]).tolist()
    rest = size - self.cuts[-1]
    # mostly there is the time only, of which a slice spares microseconds
    self._exact = np.r_[0, self.cuts[-1] : size] if rest else slice(0, 1)
    self.ends = size, 2 * size, 2 * size + 1 + rest
    self.results = self.ends[-1] + self._addresses.size
    self.first = self._first()
    self._threads = _cores()
    self._pool: tuple[mujoco.rollout.Rollout, list[mujoco.MjData]] | None = None

  def step(self, substeps: int, packed: np.ndarray) -> np.ndarray:
    """Advances states of any leading shape by one control step, see above.

    Args:
      substeps: simulation steps; zero only evaluates the sensors.
      packed: what goes in.

    Returns:
      What comes out.
    """
    (size, both, end), shape = self.ends, packed.shape[:-1]
    packed = packed.reshape(-1, packed.shape[-1])
    out = np.empty((len(packed), self.results), np.float32)
    full = np.add(packed[:, :size], packed[:, size:both], dtype=np.float64)
    full[:, self._exact] += packed[:, both:end]
    ctrl = packed[:, end : end + self._models[0].nu]
    with _LOCK, _quiet:
      states, values = self._move(self._choose(packed), full, ctrl, substeps)
    # infinity rounds with a NaN remainder, and huge numbers to infinity
    with np.errstate(over="ignore", invalid="ignore"):
      self._split(states, out)
      if values is not None:
        out[:, end:] = values
    return out.reshape(*shape, self.results)

  def _split(self, states: np.ndarray, out: np.ndarray) -> None:
    """Writes states ``[B, S]`` as what is left of them after each rounding."""
    (size, both, end), exact = self.ends, self._exact
    rounded, lost = out[:, :size], out[:, size:both]
    rounded[:] = states
    lost[:] = states - rounded
    out[:, both:end] = states[:, exact] - rounded[:, exact] - lost[:, exact]

  def _first(self) -> MujocoData:
    """Returns what states carry at the start; qpos, qvel and act round to float32 there."""
    out = np.empty((1, self.ends[-1]), np.float32)
    self._split(self.blank[None], out)
    time, _, _, act, rest, remainder, residue = np.split(out[0], [*self.cuts, *self.ends[:-1]])
    remainder[self.cuts[0] : self.cuts[-1]] = 0.0
    return MujocoData(time[0], act, rest, remainder, residue)

  def _choose(self, packed: np.ndarray) -> list[int]:
    """Returns the number of each row's model."""
    if len(self._models) == 1:
      return [0] * len(packed)
    return packed[:, -1].astype(int).tolist()

  def _move(
    self, chosen: list[int], full: np.ndarray, ctrl: np.ndarray, substeps: int
  ) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the states ``[B, S]`` after the steps and the sensors at them."""
    if len(chosen) == 1:
      return self._move_one(chosen[0], full[0], ctrl[0], substeps)
    models = [self._models[i] for i in chosen]
    if not self._addresses.size:
      return self._rollout(models, full, ctrl, substeps)[0][:, -1], None
    # A step leaves the sensors of the state that it began with: one more shows ours.
    if self._looks[0] is None:
      states, values = self._rollout(models, full, ctrl, substeps + 1)
      return (states[:, substeps - 1] if substeps else full), values[:, -1, self._addresses]
    if substeps:
      full = self._rollout(models, full, ctrl, substeps)[0][:, -1]
    values = self._rollout([self._looks[i] for i in chosen], full, ctrl, 1)[1]
    return full, values[:, -1, self._addresses]

  def _move_one(
    self, chosen: int, full: np.ndarray, ctrl: np.ndarray, substeps: int
  ) -> tuple[np.ndarray, np.ndarray | None]:
    """Does what ``_move`` does for one row, to the bit, without a rollout's preparations."""
    model, look, data = self._models[chosen], self._looks[chosen], self._data
    mujoco.mj_setState(model, data, full, _FULL)
    data.ctrl, data.qacc_warmstart = ctrl, 0
    if substeps:
      mujoco.mj_step(model, data, substeps)
    state = np.empty((1, full.size))
    mujoco.mj_getState(model, data, state[0], _FULL)
    if not self._addresses.size:
      return state, None
    if look is None:
      mujoco.mj_forward(model, data)
    else:
      mujoco.mj_step1(look, data)
    return state, data.sensordata[None, self._addresses]

  def _rollout(
    self, models: list[mujoco.MjModel], full: np.ndarray, ctrl: np.ndarray, steps: int
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns states ``[B, steps, S]`` after each step and the sensors that it leaves."""
    model, (rows, size) = models[0], full.shape
    if self._pool is None:
      data = [mujoco.MjData(self._models[0]) for _ in range(self._threads)]
      self._pool = mujoco.rollout.Rollout(nthread=self._threads), data
    pool, data = self._pool
    states, values = np.empty((rows, steps, size)), np.empty((rows, steps, model.nsensordata))
    controls = np.empty((rows, steps, model.nu))
    controls[:] = ctrl[:, None]
    arguments = {"skip_checks": True, "state": states, "sensordata": values}
    pool.rollout(models, data, np.ascontiguousarray(full), controls, nstep=steps, **arguments)
    return states, values


def _look(model: mujoco.MjModel, sensors: tuple[int, ...]) -> mujoco.MjModel | None:
  """Returns a model of which one step evaluates the sensors and little else.

  ``None`` where one of them needs contacts, forces or accelerations, and so all of a step.
  """
  kinds = [int(getattr(mujoco.mjtSensor, f"mjSENS_{x}")) for x in _KINEMATIC.split()]
  kinematic = np.isin(model.sensor_type[list(sensors)], kinds).all()
  if model.nhistory or model.nplugin or not kinematic:
    return None
  model, flags = copy.copy(model), mujoco.mjtDisableBit
  model.opt.disableflags |= flags.mjDSBL_CONSTRAINT | flags.mjDSBL_CONTACT
  model.opt.disableflags |= flags.mjDSBL_SPRING | flags.mjDSBL_DAMPER | flags.mjDSBL_EULERDAMP
  model.opt.disableflags |= flags.mjDSBL_GRAVITY | flags.mjDSBL_ACTUATION
  model.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER
  return model


class _Quiet:
  """Keeps MuJoCo from writing a log file; a state that diverges shows as NaN."""

  def __enter__(self):
    self._before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(_ignore)

  def __exit__(self, *_: Any):
    mujoco.set_mju_user_warning(self._before)


_quiet = _Quiet()


def _ignore(message: str) -> None:
  del message


def _cores() -> int:
  """Counts the cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
