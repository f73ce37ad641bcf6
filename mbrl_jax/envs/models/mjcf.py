"""Makes a task for planning out of anybody's MJCF and a cost on its sensors.

The cost of a control step is ``sum over sensors weight |value - target|^2 +
control_cost |action|^2``, or a function of the user's, of the sensors AT the state after
the step (what ``mj_step`` leaves in ``sensordata`` is one simulation step old). The sensors
are part of the observation, so the reward, the cost's negative, is a pure function of
``(obs, action, next_obs)`` like that of any task.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.asset import named
from mbrl_jax.envs.physics.action_bounds import action_bounds
from mbrl_jax.envs.physics.backends import make_physics, resolve_backend
from mbrl_jax.envs.physics.base import Physics, everything
from mbrl_jax.envs.physics.sensors import find_sensors, list_sensors
from mbrl_jax.envs.task import Task, never
from mbrl_jax.ops import validate
from mbrl_jax.types import Array, EnvSpec, Key

CONTROL_STEP = 0.02
"""Seconds of a control step, rounded to whole simulation steps, where none are given."""

Cost = Mapping[str, Any] | Callable[[dict[str, Array], Array], Array]


def make_mjcf(
  path: str | Path,
  *,
  cost: Cost,
  control_cost: float = 0.0,
  physics: str = "auto",
  keyframe: str | int | None = None,
  dt: float | None = None,
  episode_length: int = 500,
  initial_noise: float = 0.0,
) -> Task:
  """Makes a task; its observation is ``[qpos, qvel, act, sensors that the cost uses]``.

  Args:
    path: an MJCF file, or the XML itself.
    cost: ``{sensor: weight}`` or ``{sensor: (weight, target)}``, the target one number or
      one for each of the sensor's, 0 by default; or ``(sensors, ctrl) -> []``, where
      ``sensors`` maps the name of every sensor to its values ``[dim]``, ``[]`` for
      those of one number.
    control_cost: weight of ``|action|^2``.
    physics: ``"mjx"``, ``"mujoco"`` or ``"auto"``, see ``make_env``.
    keyframe: name or number of the keyframe where episodes start, with all that it holds
      (positions, velocities, activations, mocap bodies, time; its ctrl is what the first
      sensors see); ``qpos0`` by default.
    dt: seconds of a control step, a multiple of the model's timestep; by default as near
      to ``CONTROL_STEP`` as such a multiple can be.
    episode_length: control steps.
    initial_noise: standard deviation of the noise on initial positions (quaternions
      stay normalised) and velocities.

  Raises:
    ValueError: no such file or MuJoCo's own complaint; an unknown sensor or keyframe; a
      weight, target or number that does not fit; an actuator without limits; a model
      that MJX does not support, if that is the physics.

  Example:
    >>> from mbrl_jax.envs import make_mjcf
    >>> task = make_mjcf('''<mujoco><worldbody><body>
    ...     <joint name="slide" type="slide"/><geom size=".1"/></body></worldbody>
    ...   <actuator><motor joint="slide" ctrlrange="-1 1"/></actuator>
    ...   <sensor><jointpos name="height" joint="slide"/></sensor></mujoco>''',
    ...   cost={"height": (1.0, 0.5)}, control_cost=0.01)
    >>> task.spec.obs_dim, task.spec.action_low.tolist()
    (3, [-1.0])
  """
  validate.positive(episode_length=episode_length)
  validate.between(0.0, np.inf, control_cost=control_cost, initial_noise=initial_noise)
  model = load_model(path)
  keyframe = _find_keyframe(model, keyframe)
  qpos, qvel, act = _start(model, keyframe)
  names = [n for n in list_sensors(model) if n] if callable(cost) else list(cost)
  sensors = find_sensors(model, names)
  sizes = [int(model.sensor_dim[i]) for i in sensors]
  judge = cost if callable(cost) else _weighted(cost, sizes)
  low, high = action_bounds(model)
  substeps = _substeps(model.opt.timestep, dt)
  first = model.nq + model.nv + model.na

  def reward(obs: Array, action: Array, next_obs: Array) -> Array:
    del obs
    total = judge(_split(next_obs[first:], names, sizes), action)
    return -(total + control_cost * jnp.sum(action**2))

  spec = EnvSpec(
    name=_name(model, path),
    obs_dim=first + sum(sizes),
    action_low=low,
    action_high=high,
    dt=model.opt.timestep * substeps,
    episode_length=episode_length,
    reward=reward,
    terminated=never,
  )
  backend = resolve_backend(physics)
  simulate = functools.partial(
    make_physics, substeps=substeps, backend=backend, sensors=sensors, keyframe=keyframe
  )
  return Task(
    spec=spec,
    physics=_simulated(simulate, model, path),
    initial=_initial(model, qpos, qvel, act, initial_noise),
    observe=everything,
    model=model,
    simulate=simulate,
  )


def load_model(path: str | Path) -> mujoco.MjModel:
  """Compiles an MJCF file, or XML that is given itself.

  Raises:
    ValueError: there is no such file, or MuJoCo refuses it: its message says where.
  """
  is_xml = isinstance(path, str) and path.lstrip().startswith("<")
  if not is_xml and not Path(path).is_file():
    raise ValueError(f"There is no file {str(path)!r}.")
  if is_xml:
    with named("the XML"):
      return mujoco.MjModel.from_xml_string(path)
  with named(repr(str(path)), Path(path)):
    return mujoco.MjModel.from_xml_path(str(path))


def _simulated(
  simulate: Callable[[mujoco.MjModel], Physics], model: mujoco.MjModel, path: str | Path
) -> Physics:
  """Makes the physics; adds the file to what an engine says that it does not support."""
  try:
    return simulate(model)
  except ValueError as error:
    is_xml = isinstance(path, str) and path.lstrip().startswith("<")
    raise ValueError(f"{'' if is_xml else f'{path}: '}{error}") from error


def _name(model: mujoco.MjModel, path: str | Path) -> str:
  name = model.names[: model.names.index(b"\0")].decode()
  is_xml = isinstance(path, str) and path.lstrip().startswith("<")
  return name if is_xml or name != "MuJoCo Model" else Path(path).stem


def _find_keyframe(model: mujoco.MjModel, keyframe: str | int | None) -> int | None:
  """Returns the number of a keyframe."""
  if isinstance(keyframe, str):
    names = [model.key(i).name for i in range(model.nkey)]
    keyframe = names.index(validate.choice("keyframe", keyframe, filter(None, names)))
  if keyframe is not None and not 0 <= keyframe < model.nkey:
    text = f": the model has {model.nkey} keyframes, from 0."
    raise validate.ArgumentError("keyframe", keyframe, text)
  return keyframe


def _start(
  model: mujoco.MjModel, keyframe: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns initial ``(qpos, qvel, act)``; moves mocap bodies to where they start."""
  if keyframe is None:
    return model.qpos0.copy(), np.zeros(model.nv), np.zeros(model.na)
  key = model.key(keyframe)
  for body, mocap in enumerate(model.body_mocapid):
    if mocap >= 0:
      model.body_pos[body] = key.mpos.reshape(-1, 3)[mocap]
      model.body_quat[body] = key.mquat.reshape(-1, 4)[mocap]
  return key.qpos.copy(), key.qvel.copy(), key.act.copy()


def _initial(
  model: mujoco.MjModel, qpos: np.ndarray, qvel: np.ndarray, act: np.ndarray, noise: float
) -> Callable[[Key], tuple[Array, ...]]:
  """Makes ``initial`` of the task."""
  qpos, qvel, act = (np.float32(x) for x in (qpos, qvel, act))
  offset = {int(mujoco.mjtJoint.mjJNT_FREE): 3, int(mujoco.mjtJoint.mjJNT_BALL): 0}
  joints = zip(model.jnt_type, model.jnt_qposadr, strict=True)
  firsts = [adr + offset[int(kind)] for kind, adr in joints if int(kind) in offset]
  quaternions = np.array(firsts, int)[:, None] + np.arange(4)

  def initial(key: Key) -> tuple[Array, ...]:
    if not noise:
      return jnp.asarray(qpos), jnp.asarray(qvel), jnp.asarray(act)
    keys = jax.random.split(key)
    position = qpos + noise * jax.random.normal(keys[0], qpos.shape)
    turns = position[quaternions]
    turns = turns / jnp.linalg.norm(turns, axis=-1, keepdims=True)
    velocity = qvel + noise * jax.random.normal(keys[1], qvel.shape)
    return position.at[quaternions].set(turns), velocity, jnp.asarray(act)

  return initial


def _weighted(cost: Mapping[str, Any], sizes: list[int]) -> Callable[..., Array]:
  """Turns weights and targets into a function of sensors and actions."""
  if not cost:
    text = "names no sensor: there is nothing to plan for."
    raise validate.ArgumentError("cost", {}, text)
  terms = [_term(name, cost[name], size) for name, size in zip(cost, sizes, strict=True)]

  def judge(sensors: dict[str, Array], action: Array) -> Array:
    del action
    costs = [weight * jnp.sum((sensors[name] - goal) ** 2) for name, weight, goal in terms]
    return sum(costs)

  return judge


def _term(name: str, value: Any, size: int) -> tuple[str, float, np.ndarray]:
  """Reads one ``weight`` or ``(weight, target)`` for a sensor of ``size`` numbers."""
  weight, target = value if isinstance(value, tuple | list) and len(value) == 2 else (value, 0)
  try:
    weight, target = float(weight), np.asarray(target, np.float32)
  except (TypeError, ValueError):
    weight, target = np.nan, np.zeros(())
  if not (np.isfinite(weight) and np.isfinite(target).all()):
    text = "must be a finite weight, or a pair (weight, target)."
    raise validate.ArgumentError(f"cost[{name!r}]", value, text)
  if target.shape not in ((), (size,)):
    text = f": the target has {target.size} numbers, but the sensor gives {size}."
    raise validate.ArgumentError(f"cost[{name!r}]", value, text)
  return name, weight, target


def _split(values: Array, names: list[str], sizes: list[int]) -> dict[str, Array]:
  """Names the values ``[S]`` of the sensors; those of one number become scalars."""
  parts = jnp.split(values, np.cumsum(sizes)[:-1]) if names else []
  return {
    name: part[0] if size == 1 else part
    for name, part, size in zip(names, parts, sizes, strict=True)
  }


def _substeps(timestep: float, dt: float | None) -> int:
  """Returns how many simulation steps make a control step of ``dt`` seconds."""
  steps = max(1, round((CONTROL_STEP if dt is None else dt) / timestep))
  if dt is not None and abs(steps * timestep - dt) > 1e-6 * timestep:
    nearest = f"the nearest is {steps * timestep:g}."
    text = f"is no multiple of the model's timestep {timestep:g}; {nearest}"
    raise validate.ArgumentError("dt", dt, text)
  return steps
