"""Simulates a MuJoCo model with MJX, entirely in XLA and in float32.

A state carries only what the next step depends on: positions, velocities, actuator
activations, the time and the solver's warm start. The rest of ``mjx.Data`` is derived, so a
scan over an episode stores no kinematics. The model is an argument of each step: other
values never recompile.

On CPUs two things differ from plain MJX. Barriers keep XLA from repeating the kinematics
exponentially often (``add_barriers``). And where the model leaves the choice to MJX
(``jacobian="auto"``) the mass matrix is factorised sparse, as on TPUs, which needs no LAPACK
and is faster for small models. A large batch of LAPACK calls can dead-lock: jaxlib 0.10
spreads it over the thread pool in which the caller itself blocks, so as many concurrent calls
as there are threads never finish (two Choleskys of 1,024 matrices 9 x 9 on two cores). MJX's
dense matrices cause such a pair, with and without implicit damping; the remaining calls, of
the Newton solver, run one after the other.

Speed: in a batch MJX always runs all ``opt.ls_iterations`` of the solver's line search.
For models with limits or contacts 6 of them, and few ``opt.iterations``, are often enough, at
a third of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.physics.base import Physics, PhysicsState, keyframe_ctrl
from mbrl_jax.envs.physics.mjx_models import (
  check_sensors,
  import_mjx,
  stack_models,
  take_model,
)
from mbrl_jax.envs.physics.sensors import sensor_addresses
from mbrl_jax.envs.physics.xla_barriers import add_barriers
from mbrl_jax.ops.float32 import single
from mbrl_jax.types import Array


class MjxData(NamedTuple):
  """State of MJX other than positions and velocities.

  Attributes:
    act: actuator activations ``[na]``.
    warmstart: accelerations from which the constraint solver starts ``[nv]``.
    time: simulated seconds ``[]``.
  """

  act: Array
  warmstart: Array
  time: Array


def mjx_physics(
  models: Sequence[mujoco.MjModel],
  substeps: int,
  sensors: tuple[int, ...] = (),
  keyframe: int | None = None,
) -> Physics:
  """Builds the physics of ``models`` on MJX; see ``backends.make_physics``."""
  base, several = models[0], len(models) > 1
  for each in models:
    check_sensors(each, sensors)
  first_ctrl = np.float32(keyframe_ctrl(base, keyframe))
  stack, axes = stack_models(models)

  def model(state: PhysicsState) -> Any:
    return take_model(stack, axes, state.variant) if several else stack

  def with_sensors(state: PhysicsState, ctrl: Array) -> PhysicsState:
    return sense(model(state), state, ctrl, sensors) if sensors else state

  def init(
    qpos: Array, qvel: Array, act: Array | None = None, variant: Any = 0
  ) -> PhysicsState:
    state = first_state(base, keyframe, qpos, qvel, act)
    if several:
      state = state._replace(variant=jnp.clip(jnp.int32(variant), 0, len(models) - 1))
    return with_sensors(state, jnp.asarray(first_ctrl))

  def step(state: PhysicsState, ctrl: Array) -> PhysicsState:
    return with_sensors(advance(model(state), state, ctrl, substeps), ctrl)

  return Physics(single(init), single(step), len(models))


@single
def mjx_state(
  model: Any, source: Any = None, qvel: Any = None, act: Any = None
) -> PhysicsState:
  """Makes the state that MJX steps, from simulation data or from positions and velocities.

  Args:
    model: ``mujoco.MjModel`` or ``mjx.Model``.
    source: ``mujoco.MjData`` or ``mjx.Data``; or positions ``[nq]``; by default the
      model's ``qpos0``.
    qvel: velocities ``[nv]``, zero by default.
    act: actuator activations ``[na]``, zero by default.

  Raises:
    ValueError: a shape does not fit the model.

  Example:
    >>> import mujoco
    >>> from mbrl_jax.envs import mjx_state
    >>> pendulum = mujoco.MjModel.from_xml_string(
    ...   "<mujoco><worldbody><body><joint/><geom size='.1'/></body></worldbody></mujoco>")
    >>> state = mjx_state(pendulum, [0.5])
    >>> state.qpos.tolist(), state.qvel.tolist()
    ([0.5], [0.0])
  """
  warmstart, time = np.zeros(model.nv), 0.0
  if hasattr(source, "qacc_warmstart"):
    qvel, act, time = source.qvel, source.act, source.time
    source, warmstart = source.qpos, source.qacc_warmstart
  qpos = _vector("qpos", model.qpos0 if source is None else source, model.nq)
  qvel = _vector("qvel", np.zeros(model.nv) if qvel is None else qvel, model.nv)
  act = _vector("act", np.zeros(model.na) if act is None else act, model.na)
  carried = MjxData(act, _vector("warmstart", warmstart, model.nv), _float(time))
  return PhysicsState(qpos, qvel, carried)


def first_state(
  model: mujoco.MjModel, keyframe: int | None, qpos: Array, qvel: Array, act: Array | None
) -> PhysicsState:
  """Makes the initial state of an episode; see ``backends.make_physics``."""
  if keyframe is None:
    return mjx_state(model, qpos, qvel, act)
  state = mjx_state(model, qpos, qvel, model.key_act[keyframe] if act is None else act)
  return state._replace(data=state.data._replace(time=_float(model.key_time[keyframe])))


def advance(model: Any, state: PhysicsState, ctrl: Array, substeps: int) -> PhysicsState:
  """Steps ``state`` with ``ctrl [nu]`` held for ``substeps`` simulation steps."""
  mjx = import_mjx()
  model, adapt = _for_backend(model)
  blank, forward = mjx.make_data(model, impl="jax").replace(ctrl=ctrl), adapt(mjx.step)

  def substep(state: PhysicsState, _: None) -> tuple[PhysicsState, None]:
    data = forward(model, fill_data(blank, state))
    carried = MjxData(data.act, data.qacc_warmstart, data.time)
    return state._replace(qpos=data.qpos, qvel=data.qvel, data=carried), None

  return jax.lax.scan(substep, state, length=substeps)[0]


def sense(
  model: Any, state: PhysicsState, ctrl: Array, sensors: tuple[int, ...]
) -> PhysicsState:
  """Evaluates sensors at ``state`` itself, under ``ctrl [nu]``.

  After a simulation step ``sensordata`` still belongs to the state before the step.

  Args:
    model: ``mjx.Model``.
    state: the state to evaluate.
    ctrl: controls of the actuators, for sensors of forces and accelerations.
    sensors: their ids; the others are not computed.

  Returns:
    ``state`` with ``sensors [S]``, the values of one sensor after the other.
  """
  mjx = import_mjx()
  requested = np.isin(np.arange(model.nsensor), sensors)
  stages = np.where(requested, model.sensor_needstage, -1)
  model, adapt = _for_backend(model.replace(sensor_needstage=stages))
  blank = mjx.make_data(model, impl="jax").replace(ctrl=ctrl)
  accelerations = (stages == mujoco.mjtStage.mjSTAGE_ACC).any()

  def evaluate(model: Any, data: Any) -> Array:
    if accelerations:
      # again, because forward() drops these where the model has no constraints
      return mjx.sensor_acc(model, mjx.forward(model, data)).sensordata
    data = mjx.sensor_pos(model, mjx.fwd_position(model, data))
    return mjx.sensor_vel(model, mjx.fwd_velocity(model, data)).sensordata

  values = adapt(evaluate)(model, fill_data(blank, state))
  return state._replace(sensors=values[sensor_addresses(model, sensors)])


def _for_backend(model: Any) -> tuple[Any, Callable]:
  """Returns the model and a function transform for the backend of jax, see above."""
  if jax.default_backend() != "cpu":
    return model, lambda function: function
  if int(model.opt.jacobian) == int(mujoco.mjtJacobian.mjJAC_AUTO):
    sparse = type(model.opt.jacobian)(mujoco.mjtJacobian.mjJAC_SPARSE)
    model = model.replace(opt=model.opt.replace(jacobian=sparse))
  return model, add_barriers


def fill_data(blank: Any, state: PhysicsState) -> Any:
  """Copies a state into an ``mjx.Data``."""
  return blank.replace(
    qpos=state.qpos,
    qvel=state.qvel,
    act=state.data.act,
    qacc_warmstart=state.data.warmstart,
    time=state.data.time,
  )


def _float(value: Any) -> Array:
  # array() copies, because MuJoCo changes the arrays of MjData in place
  return jnp.array(value, jnp.float32)


def _vector(name: str, value: Any, size: int) -> Array:
  if np.shape(value) != (size,):
    raise ValueError(f"{name} must have shape [{size}] for this model, got {np.shape(value)}.")
  return _float(value)
