"""Simulates a MuJoCo model with MJX, all inside XLA and in float32.

Only what determines the future is carried between control steps: positions,
velocities, actuator activations, the time and the solver's warm start. Everything else
in ``mjx.Data`` is derived, so scanning over an episode keeps no kinematics alive. The
model is an argument of each step: data, of which another value never recompiles.

On CPUs two things are done otherwise than by MJX itself. Barriers keep XLA from repeating
the kinematics exponentially often (``add_barriers``). And where the model leaves the choice to
MJX (``jacobian="auto"``) the mass matrix is factorised sparse, as on TPUs: that takes no LAPACK
and is faster for small models. A large batch can wait for LAPACK for ever: jaxlib 0.10
spreads it over the thread pool in which the caller itself blocks, so as many such calls at
a time as there are threads dead-lock (two Choleskys of 1,024 matrices 9 x 9 do on two
cores). MJX's dense matrices make such a pair, with and without implicit damping; the calls
that are left, of the Newton solver, come one after the other.

Speed: in a batch MJX always runs all ``opt.ls_iterations`` of the solver's line search.
For models with limits or contacts 6 of them, and few ``opt.iterations``, often do, at a
third of the time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.physics.base import Physics, PhysicsState, keyframe_ctrl
from mbrl_jax.envs.physics.mjx_support import find_unread, find_unsupported
from mbrl_jax.envs.physics.sensors import sensor_addresses
from mbrl_jax.envs.physics.xla_barriers import add_barriers
from mbrl_jax.ops.float32 import single
from mbrl_jax.types import Array


class MjxData(NamedTuple):
  """What MJX carries besides positions and velocities.

  Attributes:
    act: actuator activations ``[na]``.
    warmstart: accelerations where the constraint solver starts ``[nv]``.
    time: seconds simulated so far ``[]``.
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
  """Builds the physics of ``models`` on MJX; see ``physics.make_physics``."""
  base, several = models[0], len(models) > 1
  for each in models:
    check_sensors(each, sensors)
  first_ctrl = np.float32(keyframe_ctrl(base, keyframe))
  stack, axes = stack_models(models)

  def model(state: PhysicsState) -> Any:
    return take_model(stack, axes, state.variant) if several else stack

  def look(state: PhysicsState, ctrl: Array) -> PhysicsState:
    return sense(model(state), state, ctrl, sensors) if sensors else state

  def init(
    qpos: Array, qvel: Array, act: Array | None = None, variant: Any = 0
  ) -> PhysicsState:
    state = first_state(base, keyframe, qpos, qvel, act)
    if several:
      state = state._replace(variant=jnp.clip(jnp.int32(variant), 0, len(models) - 1))
    return look(state, jnp.asarray(first_ctrl))

  def step(state: PhysicsState, ctrl: Array) -> PhysicsState:
    return look(advance(model(state), state, ctrl, substeps), ctrl)

  return Physics(single(init), single(step), len(models))


def stack_models(
  models: Sequence[mujoco.MjModel], put: Callable[[Any], Any] | None = None
) -> tuple[Any, Any]:
  """Stacks models of the same shape to one ``mjx.Model``; fields that are equal stay single.

  Args:
    models: the models.
    put: turns one into an ``mjx.Model``, by default ``mjx_model``.

  Returns:
    The stack, and for each of its leaves 0 where models lie along the first axis, or
    ``None``: ``in_axes`` of ``jax.vmap``.

  Raises:
    ValueError: MJX does not simulate one, or they differ in what programs are built from.
  """
  parts = [(put or mjx_model)(model) for model in models]
  for i, part in enumerate(parts):
    if jax.tree.structure(part) != jax.tree.structure(parts[0]):
      raise ValueError(
        f"variants[{i}] and variants[0] differ in fields that MJX builds its program from: "
        f"{', '.join(_static_differences(parts[0], part))}; use physics='mujoco'."
      )
  same = lambda *leaves: all(np.array_equal(leaves[0], leaf) for leaf in leaves[1:])
  merge = lambda *leaves: leaves[0] if same(*leaves) else jnp.stack(leaves)
  axes = jax.tree.map(lambda *leaves: None if same(*leaves) else 0, *parts)
  return jax.tree.map(merge, *parts), axes


def take_model(stack: Any, axes: Any, index: Array) -> Any:
  """Returns one ``mjx.Model`` of a stack; ``index`` may be traced."""
  pick = lambda axis, leaf: leaf if axis is None else leaf[index]
  return jax.tree.map(pick, axes, stack, is_leaf=lambda x: x is None)


@single
def mjx_model(model: Any) -> Any:
  """Turns a MuJoCo model into the ``mjx.Model`` that ``mjx_dynamics`` takes as params.

  Args:
    model: ``mujoco.MjModel``, or an ``mjx.Model``, which comes back as it is and can only be
      checked for what it still holds.

  Raises:
    ValueError: the model uses what MJX does not simulate (see ``mjx_support``); the message
      says what.
  """
  mjx = import_mjx()
  is_mjx = isinstance(model, mjx.Model) and model.impl == mjx.Impl.JAX
  if not is_mjx and not isinstance(model, mujoco.MjModel):
    raise ValueError(
      f"model must be a mujoco.MjModel or an mjx.Model with impl='jax', got {_kind(model)}."
    )
  problem = None if _is_traced(model) else find_unsupported(model)
  if problem:
    raise ValueError(unsupported(model, problem))
  if is_mjx:
    return model
  try:
    device_model = mjx.put_model(model, impl="jax")
    mjx.make_data(model, impl="jax")
  except NotImplementedError as error:
    raise ValueError(unsupported(model, str(error))) from error
  return device_model


def check_sensors(model: Any, sensors: tuple[int, ...]) -> None:
  """Checks that MJX computes what sensors of a model, ``MjModel`` or ``mjx.Model``, show.

  Raises:
    ValueError: it does not; the message says what.
  """
  if not sensors or _is_traced(model):
    return
  mjx_model(model)  # what it refuses may not make data either
  contacts = import_mjx().make_data(model, impl="jax")._impl.ncon
  problem = find_unread(model, sensors, contacts)
  if problem:
    raise ValueError(unsupported(model, problem))


@single
def mjx_state(
  model: Any, source: Any = None, qvel: Any = None, act: Any = None
) -> PhysicsState:
  """Makes the state that MJX steps from positions and velocities.

  Args:
    model: ``mujoco.MjModel`` or ``mjx.Model``.
    source: ``mujoco.MjData`` or ``mjx.Data``; or positions ``[nq]``; by default the
      model's ``qpos0``.
    qvel: velocities ``[nv]``, zero by default.
    act: actuator activations ``[na]``, zero by default.

  Raises:
    ValueError: a shape does not fit the model.
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
  """Makes the state that an episode starts from; see ``physics.make_physics``."""
  if keyframe is None:
    return mjx_state(model, qpos, qvel, act)
  state = mjx_state(model, qpos, qvel, model.key_act[keyframe] if act is None else act)
  return state._replace(data=state.data._replace(time=_float(model.key_time[keyframe])))


def advance(model: Any, state: PhysicsState, ctrl: Array, substeps: int) -> PhysicsState:
  """Steps ``state`` under ``ctrl [nu]``, held for ``substeps`` simulation steps."""
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

  What a simulation step leaves in ``sensordata`` belongs to the state before it.

  Args:
    model: ``mjx.Model``.
    state: where to look.
    ctrl: what the actuators are told, for sensors of forces and accelerations.
    sensors: their ids; the others are not computed.

  Returns:
    ``state`` with ``sensors [S]``, the values one sensor after the other.
  """
  mjx = import_mjx()
  asked = np.isin(np.arange(model.nsensor), sensors)
  stages = np.where(asked, model.sensor_needstage, -1)
  model, adapt = _for_backend(model.replace(sensor_needstage=stages))
  blank = mjx.make_data(model, impl="jax").replace(ctrl=ctrl)
  accelerations = (stages == mujoco.mjtStage.mjSTAGE_ACC).any()

  def look(model: Any, data: Any) -> Array:
    if accelerations:
      # once more, because forward() forgets these where nothing constrains the model
      return mjx.sensor_acc(model, mjx.forward(model, data)).sensordata
    data = mjx.sensor_pos(model, mjx.fwd_position(model, data))
    return mjx.sensor_vel(model, mjx.fwd_velocity(model, data)).sensordata

  values = adapt(look)(model, fill_data(blank, state))
  return state._replace(sensors=values[sensor_addresses(model, sensors)])


def import_mjx() -> ModuleType:
  """Imports MJX without the lines that it prints where Warp is not installed."""
  with contextlib.redirect_stdout(io.StringIO()):
    from mujoco import mjx
  return mjx


def _for_backend(model: Any) -> tuple[Any, Callable]:
  """Returns the model and what adapts functions of it to the backend, see above."""
  if jax.default_backend() != "cpu":
    return model, lambda function: function
  if int(model.opt.jacobian) == int(mujoco.mjtJacobian.mjJAC_AUTO):
    sparse = type(model.opt.jacobian)(mujoco.mjtJacobian.mjJAC_SPARSE)
    model = model.replace(opt=model.opt.replace(jacobian=sparse))
  return model, add_barriers


def fill_data(blank: Any, state: PhysicsState) -> Any:
  """Puts what is carried between control steps into an ``mjx.Data``."""
  return blank.replace(
    qpos=state.qpos,
    qvel=state.qvel,
    act=state.data.act,
    qacc_warmstart=state.data.warmstart,
    time=state.data.time,
  )


def _static_differences(one: Any, other: Any) -> Iterator[str]:
  """Names the fields that make the programs of two ``mjx.Model`` differ."""
  for field in dataclasses.fields(one):
    a, b = getattr(one, field.name), getattr(other, field.name)
    if dataclasses.is_dataclass(a):
      yield from (f"{field.name.strip('_')}.{name}" for name in _static_differences(a, b))
    elif not isinstance(a, jax.Array) and not np.array_equal(a, b):
      yield field.name


def _is_traced(model: Any) -> bool:
  """Tells whether the numbers of a model are not known yet, inside of ``jit``."""
  return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(model))


def _float(value: Any) -> Array:
  # array() copies, and has to: MuJoCo changes the arrays of MjData in place
  return jnp.array(value, jnp.float32)


def _vector(name: str, value: Any, size: int) -> Array:
  if np.shape(value) != (size,):
    raise ValueError(f"{name} must have shape [{size}] for this model, got {np.shape(value)}.")
  return _float(value)


def _kind(value: Any) -> str:
  impl = getattr(value, "impl", None)
  return f"one with impl={impl.value!r}" if hasattr(impl, "value") else type(value).__name__


def unsupported(model: mujoco.MjModel, problem: str, engine: str = "MJX") -> str:
  """Says that an engine refuses a model, and what for."""
  name = model.names[: model.names.index(b"\0")].decode()
  return (
    f"{engine} cannot simulate the model {name!r}: {problem.strip()}; take it out of the model "
    "or use MuJoCo's C engine (physics='mujoco')."
  )
