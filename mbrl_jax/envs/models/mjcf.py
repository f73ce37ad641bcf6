"""Makes a task for planning from an MJCF file and a cost on its sensors.

The cost of a control step is ``sum over sensors weight |value - target|^2 +
control_cost |action|^2``, or a given function, of the sensors AT the state after the step
(after ``mj_step`` ``sensordata`` is one simulation step old). The observation includes the
sensors, so the reward, the negative cost, is a pure function of ``(obs, action, next_obs)``
like that of any task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.asset import naming_file
from mbrl_jax.envs.physics.action_bounds import action_bounds
from mbrl_jax.envs.physics.backends import make_physics, resolve_backend
from mbrl_jax.envs.physics.base import Physics, observe_all
from mbrl_jax.envs.physics.mjcf_names import model_name
from mbrl_jax.envs.physics.sensors import find_sensors, list_sensors, sensor_dims
from mbrl_jax.envs.task import Task, never
from mbrl_jax.ops import validate
from mbrl_jax.types import Array, EnvSpec, Key, RewardFn

CONTROL_STEP = 0.02
"""Default seconds of a control step, rounded to whole simulation steps."""

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
  """Makes a task with the observation ``[qpos, qvel, act, sensors of the cost]``.

  Args:
    path: an MJCF file, or XML text.
    cost: ``{sensor: weight}`` or ``{sensor: (weight, target)}``, the target one number or
      one for each sensor value, 0 by default; or ``(sensors, ctrl) -> []``, where
      ``sensors`` maps each sensor's name to its values ``[dim]``, ``[]`` if there is one.
    control_cost: weight of ``|action|^2``.
    physics: ``"mjx"``, ``"mujoco"`` or ``"auto"``, see ``make_env``.
    keyframe: name or number of the keyframe in which episodes start (positions, velocities,
      activations, mocap bodies, time; and ctrl, for the first sensor values); by default
      ``qpos0`` at rest.
    dt: seconds of a control step, a multiple of the model's timestep; by default the
      multiple closest to ``CONTROL_STEP``.
    episode_length: control steps.
    initial_noise: standard deviation of the noise on initial positions (quaternions
      stay normalised) and velocities.

  Raises:
    ValueError: no such file or an error of MuJoCo's compiler; an unknown sensor or keyframe;
      an invalid weight, target or number; an actuator without limits; a model that MJX does
      not support, if that is the physics.

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
  key = _find_keyframe(model, keyframe)
  initial = _make_initial(model, *_keyframe_state(model, key), initial_noise)
  reward, sensors = _make_reward(model, cost, control_cost)
  bounds = action_bounds(model)
  steps = _substeps(model.opt.timestep, dt)
  size = model.nq + model.nv + model.na + sum(sensor_dims(model, sensors))
  time = model.opt.timestep * steps
  spec = EnvSpec(_name(model, path), size, *bounds, time, episode_length, reward, never)
  backend = resolve_backend(physics)
  simulate = lambda models: make_physics(models, steps, backend, sensors, key)
  engine = _make_physics(simulate, model, path)
  return Task(spec, engine, initial, observe_all, model, simulate=simulate)


def load_model(path: str | Path) -> mujoco.MjModel:
  """Compiles an MJCF file, or XML text.

  Raises:
    ValueError: there is no such file, or MuJoCo cannot compile it; the message says where.

  Example:
    >>> from mbrl_jax import load_model
    >>> ball = "<body><freejoint/><geom size='.1'/></body>"
    >>> load_model(f"<mujoco><worldbody>{ball}</worldbody></mujoco>").nq
    7
  """
  if isinstance(path, str) and _is_xml(path):
    with naming_file("the XML"):
      return mujoco.MjModel.from_xml_string(path)
  if not Path(path).is_file():
    raise ValueError(f"There is no file {str(path)!r}.")
  with naming_file(repr(str(path)), Path(path)):
    return mujoco.MjModel.from_xml_path(str(path))


def _make_reward(
  model: mujoco.MjModel, cost: Cost, control_cost: float
) -> tuple[RewardFn, tuple[int, ...]]:
  """Returns the reward and the ids of the sensors that it uses."""
  names = [n for n in list_sensors(model) if n] if callable(cost) else list(cost)
  sensors = find_sensors(model, names)
  sizes = sensor_dims(model, sensors)
  evaluate = cost if callable(cost) else _weighted(cost, sizes)
  first = model.nq + model.nv + model.na

  def reward(obs: Array, action: Array, next_obs: Array) -> Array:
    del obs
    total = evaluate(_split(next_obs[first:], names, sizes), action)
    return -(total + control_cost * jnp.sum(action**2))

  return reward, sensors


def _make_physics(
  simulate: Callable[[mujoco.MjModel], Physics], model: mujoco.MjModel, path: str | Path
) -> Physics:
  """Makes the physics; adds the file to the error of an engine that does not support it."""
  try:
    return simulate(model)
  except ValueError as error:
    raise ValueError(f"{'' if _is_xml(path) else f'{path}: '}{error}") from error


def _is_xml(path: str | Path) -> bool:
  return isinstance(path, str) and path.lstrip().startswith("<")


def _name(model: mujoco.MjModel, path: str | Path) -> str:
  name = model_name(model)
  return name if _is_xml(path) or name != "MuJoCo Model" else Path(path).stem


def _find_keyframe(model: mujoco.MjModel, keyframe: str | int | None) -> int | None:
  """Returns the number of a keyframe."""
  if isinstance(keyframe, str):
    names = [model.key(i).name for i in range(model.nkey)]
    keyframe = names.index(validate.choice("keyframe", keyframe, filter(None, names)))
  if keyframe is not None and not 0 <= keyframe < model.nkey:
    text = f": the model has {model.nkey} keyframes, from 0."
    raise validate.ArgumentError("keyframe", keyframe, text)
  return keyframe


def _keyframe_state(
  model: mujoco.MjModel, keyframe: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns initial ``(qpos, qvel, act)``; sets the model's mocap bodies to their poses."""
  if keyframe is None:
    return model.qpos0.copy(), np.zeros(model.nv), np.zeros(model.na)
  key = model.key(keyframe)
  for body, mocap in enumerate(model.body_mocapid):
    if mocap >= 0:
      model.body_pos[body] = key.mpos.reshape(-1, 3)[mocap]
      model.body_quat[body] = key.mquat.reshape(-1, 4)[mocap]
  return key.qpos.copy(), key.qvel.copy(), key.act.copy()


def _make_initial(
  model: mujoco.MjModel, qpos: np.ndarray, qvel: np.ndarray, act: np.ndarray, noise: float
) -> Callable[[Key], tuple[Array, ...]]:
  """Makes ``Task.initial``: a fixed state plus noise."""
  qpos, qvel, act = (np.asarray(x, np.float32) for x in (qpos, qvel, act))
  offset = {int(mujoco.mjtJoint.mjJNT_FREE): 3, int(mujoco.mjtJoint.mjJNT_BALL): 0}
  joints = zip(model.jnt_type, model.jnt_qposadr, strict=True)
  firsts = [adr + offset[int(kind)] for kind, adr in joints if int(kind) in offset]
  indices = np.array(firsts, int)[:, None] + np.arange(4)

  def initial(key: Key) -> tuple[Array, ...]:
    if not noise:
      return jnp.asarray(qpos), jnp.asarray(qvel), jnp.asarray(act)
    keys = jax.random.split(key)
    position = jnp.asarray(qpos + noise * jax.random.normal(keys[0], qpos.shape))
    quaternions = position[indices]
    quaternions = quaternions / jnp.linalg.norm(quaternions, axis=-1, keepdims=True)
    velocity = jnp.asarray(qvel + noise * jax.random.normal(keys[1], qvel.shape))
    return position.at[indices].set(quaternions), velocity, jnp.asarray(act)

  return initial


def _weighted(cost: Mapping[str, Any], sizes: list[int]) -> Callable[..., Array]:
  """Makes the cost function of sensors and action from weights and targets."""
  if not cost:
    text = "names no sensor: there is nothing to minimise."
    raise validate.ArgumentError("cost", {}, text)
  terms = [_term(name, cost[name], size) for name, size in zip(cost, sizes, strict=True)]

  def evaluate(sensors: dict[str, Array], action: Array) -> Array:
    del action
    costs = [weight * jnp.sum((sensors[name] - goal) ** 2) for name, weight, goal in terms]
    return sum(costs, start=jnp.zeros((), jnp.float32))

  return evaluate


def _term(name: str, value: Any, size: int) -> tuple[str, float, np.ndarray]:
  """Parses ``weight`` or ``(weight, target)`` of a sensor with ``size`` values."""
  weight, target = value if isinstance(value, tuple | list) and len(value) == 2 else (value, 0)
  try:
    weight, target = float(weight), np.asarray(target, np.float32)
  except (TypeError, ValueError):
    weight, target = np.nan, np.zeros(())
  if not (np.isfinite(weight) and np.isfinite(target).all()):
    text = "must be a finite weight, or a pair (weight, target)."
    raise validate.ArgumentError(f"cost[{name!r}]", value, text)
  if target.shape not in ((), (size,)):
    text = f": the target has {target.size} numbers, but the sensor has {size}."
    raise validate.ArgumentError(f"cost[{name!r}]", value, text)
  return name, weight, target


def _split(values: Array, names: list[str], sizes: list[int]) -> dict[str, Array]:
  """Maps sensor names to their parts of the values ``[S]``; single values become scalars."""
  parts = jnp.split(values, np.cumsum(sizes)[:-1]) if names else []
  return {
    name: part[0] if size == 1 else part
    for name, part, size in zip(names, parts, sizes, strict=True)
  }


def _substeps(timestep: float, dt: float | None) -> int:
  """Returns the number of simulation steps in a control step of ``dt`` seconds."""
  steps = max(1, round((CONTROL_STEP if dt is None else dt) / timestep))
  if dt is not None and abs(steps * timestep - dt) > 1e-6 * timestep:
    nearest = f"the nearest is {steps * timestep:g}."
    text = f"is not a multiple of the model's timestep {timestep:g}; {nearest}"
    raise validate.ArgumentError("dt", dt, text)
  return steps
