"""Builds an ``Env`` from a specification, physics and pure functions.

Example:
  >>> import jax.numpy as jnp, mujoco
  >>> from mbrl_jax import make_task
  >>> cart = mujoco.MjModel.from_xml_string('''<mujoco><worldbody><body>
  ...     <joint name="slide" type="slide" axis="1 0 0"/><geom size=".1"/></body></worldbody>
  ...   <actuator><motor joint="slide" ctrlrange="-1 1"/></actuator></mujoco>''')
  >>> task = make_task(
  ...   "cart", cart, "mujoco", dt=0.02, episode_length=100,
  ...   reward=lambda obs, action, next_obs: -next_obs[0] ** 2,
  ...   initial=lambda key: (jnp.ones(1), jnp.zeros(1)),
  ...   observe=lambda physics: jnp.concatenate([physics.qpos, physics.qvel]))
  >>> task.spec.obs_dim, task.spec.action_high.tolist()
  (2, [1.0])
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.physics.action_bounds import action_bounds
from mbrl_jax.envs.physics.backends import make_physics, resolve_backend
from mbrl_jax.envs.physics.base import Physics, PhysicsState
from mbrl_jax.envs.physics.sensors import find_sensors
from mbrl_jax.ops.float32 import single
from mbrl_jax.ops.validate import ArgumentError
from mbrl_jax.types import (
  Array,
  EnvSpec,
  EnvState,
  Key,
  RewardFn,
  TerminationFn,
  Transition,
)


class Memory(NamedTuple):
  """State of a task other than the physics: a goal, the last action, a phase.

  It is stored in ``PhysicsState.memory``, for ``observe`` and ``command``.

  Attributes:
    start: ``(key, PhysicsState) -> memory`` at the reset, a pytree of float32 arrays.
    update: ``(PhysicsState before, action [A], PhysicsState after) -> memory``; the state
      after still holds the old memory.

  Example:
    >>> import jax.numpy as jnp
    >>> from mbrl_jax import Memory
    >>> count = Memory(
    ...   start=lambda key, physics: jnp.zeros(()),
    ...   update=lambda before, action, after: before.memory + 1,
    ... )
    >>> float(count.start(None, None))
    0.0
  """

  start: Callable[[Key, PhysicsState], Any]
  update: Callable[[PhysicsState, Array, PhysicsState], Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
  """A task on some physics; implements ``types.Env``.

  The physics gets actions clipped to the bounds; the reward and ``Transition.action`` get
  them as the agent chose them.

  Attributes:
    spec: specification for learners and planners.
    physics: the simulated system.
    initial: ``(key) -> (qpos [nq], qvel [nv])``, draws an initial state; with a MuJoCo
      model it may return activations ``[na]`` as a third.
    observe: ``(PhysicsState) -> [O]``.
    model: the MuJoCo model, for rendering; ``None`` for analytic tasks.
    segments: ``(pose [Q]) -> [S, 2, 2]`` end points in metres of line segments
      that draw the task in the plane (numpy), or ``None``.
    memory: the task's own state, or ``None``.
    command: ``(PhysicsState, action [A]) -> ctrl [nu]``, maps an action within the
      bounds to controls; ``None``: the action itself.
    marks: ``(PhysicsState) -> [7 nmocap]``, poses for rendering the model's mocap bodies,
      such as a goal: all positions, then all quaternions; ``None``: those of the model.
    noise: ``(key, obs [O]) -> [O]``, adds sensor noise to the observation that agent and
      reward get; ``None``: no noise. ``observe`` itself is exact.
    simulate: ``(models) -> Physics`` like ``physics`` for other models; ``None`` for
      analytic tasks.
  """

  spec: EnvSpec
  physics: Physics
  initial: Callable[[Key], tuple[Array, ...]]
  observe: Callable[[PhysicsState], Array]
  model: mujoco.MjModel | None = None
  segments: Callable[[Any], Any] | None = None
  memory: Memory | None = None
  command: Callable[[PhysicsState, Array], Array] | None = None
  marks: Callable[[PhysicsState], Array] | None = None
  noise: Callable[[Key, Array], Array] | None = None
  simulate: Callable[[Sequence[mujoco.MjModel]], Physics] | None = None

  def vary(self, models: Sequence[mujoco.MjModel]) -> Task:
    """Returns this task on several models; each reset draws one of them.

    Args:
      models: models of the same shape as ``model``, which is still used for rendering.

    Raises:
      ValueError: the shapes differ, or the task has no MuJoCo model.
    """
    if self.simulate is None:
      raise ValueError(f"The task {self.spec.name!r} has no MuJoCo model to vary.")
    return dataclasses.replace(self, physics=self.simulate(models))

  @single
  def reset(self, key: Key) -> EnvState:
    """Draws an initial state and, of several models, the active one."""
    chosen: dict[str, Array] = {}
    noise_key = key
    if self.noise is not None:
      key, noise_key = jax.random.split(key)
    if self.physics.variants > 1:
      key, variant_key = jax.random.split(key)
      chosen["variant"] = jax.random.randint(variant_key, (), 0, self.physics.variants)
    if self.memory is None:
      physics = self.physics.init(*self.initial(key), **chosen)
    else:
      key, memory_key = jax.random.split(key)
      physics = self.physics.init(*self.initial(key), **chosen)
      physics = physics._replace(memory=self.memory.start(memory_key, physics))
    return EnvState(physics, self._sense(physics, noise_key), jnp.zeros((), jnp.int32))

  @single
  def step(self, state: EnvState, action: Array, key: Key) -> tuple[EnvState, Transition]:
    """Takes one control step; ``key`` is for sensor noise, the physics is deterministic.

    Raises:
      ValueError: the action is not of shape ``[A]``.
    """
    spec = self.spec
    action = jnp.asarray(action, jnp.float32)
    if action.shape != (spec.action_dim,):
      raise ValueError(
        f"action must have shape [{spec.action_dim}] for {spec.name!r}, got "
        f"{list(action.shape)}; for a batch use jax.vmap(env.step)."
      )
    physics = self._advance(state.physics, jnp.clip(action, spec.action_low, spec.action_high))
    obs, steps = self._sense(physics, key), state.steps + 1
    terminated = spec.terminated(state.obs, action, obs)
    transition = Transition(
      obs=state.obs,
      action=action,
      reward=spec.reward(state.obs, action, obs),
      next_obs=obs,
      terminated=terminated,
      truncated=(steps >= spec.episode_length) & ~terminated,
    )
    return EnvState(physics, obs, steps), transition

  @single
  def pose(self, state: EnvState) -> Array:
    """Returns the generalised positions ``[nq]``, then the poses of mocap bodies."""
    if self.marks is None:
      return state.physics.qpos
    return jnp.concatenate([state.physics.qpos, self.marks(state.physics)])

  def _sense(self, physics: PhysicsState, key: Key) -> Array:
    """Returns the observation with sensor noise."""
    obs = self.observe(physics)
    return obs if self.noise is None else self.noise(key, obs)

  def _advance(self, before: PhysicsState, action: Array) -> PhysicsState:
    """Steps the physics and the task's memory."""
    ctrl = action if self.command is None else self.command(before, action)
    after = self.physics.step(before, ctrl)
    if self.memory is None:
      return after
    return after._replace(memory=self.memory.update(before, action, after))


def make_task(
  name: str,
  model: mujoco.MjModel,
  physics: str,
  *,
  dt: float,
  episode_length: int,
  reward: RewardFn,
  initial: Callable[[Key], tuple[Array, ...]],
  observe: Callable[[PhysicsState], Array],
  terminated: TerminationFn | None = None,
  action_low: Any = None,
  action_high: Any = None,
  sensors: tuple[str, ...] = (),
  memory: Memory | None = None,
  command: Callable[[PhysicsState, Array], Array] | None = None,
  marks: Callable[[PhysicsState], Array] | None = None,
  variants: Sequence[mujoco.MjModel] | None = None,
  **spec: Any,
) -> Task:
  """Builds a task on the physics of a MuJoCo model.

  Args:
    name: name of the task.
    model: the compiled model.
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    dt: seconds of a control step, a multiple of ``model.opt.timestep``.
    episode_length: control steps.
    reward, terminated: see ``EnvSpec``; by default no transition terminates.
    initial, observe, memory, command, marks: see ``Task``.
    action_low, action_high: bounds ``[A]``; by default the actuators' ``ctrlrange``.
    sensors: names of the sensors whose values ``PhysicsState.sensors`` holds, in this order.
    variants: models of the same shape as ``model`` that are simulated instead, one drawn at
      each reset.
    **spec: other fields of ``EnvSpec``: ``encode``, ``target``, ``decode``, ``cost``,
      ``success``.

  Raises:
    ValueError: an unknown physics or sensor; ``dt`` is not a multiple of the timestep; an
      actuator without ``ctrlrange`` and no action bounds; or a model that MJX does not
      support, if that is the physics.
  """
  simulate = functools.partial(
    make_physics,
    substeps=_substeps(model, dt),
    backend=resolve_backend(physics),
    sensors=find_sensors(model, sensors),
  )
  low, high = action_bounds(model, action_low, action_high, commanded=command is not None)
  env_spec = EnvSpec(
    *(name, 0, low, high, dt, episode_length, reward, terminated or never),
    full_length=terminated in (None, never),
    **spec,
  )
  models = model if variants is None else variants
  task = Task(env_spec, simulate(models), initial, observe, model, None, memory, command, marks)
  return _with_obs_dim(dataclasses.replace(task, simulate=simulate))


def _substeps(model: mujoco.MjModel, dt: float) -> int:
  """Returns the number of simulation steps in a control step of ``dt`` seconds."""
  substeps = round(dt / model.opt.timestep)
  if not np.isclose(substeps * model.opt.timestep, dt):
    raise ArgumentError("dt", dt, f"must be a multiple of the timestep {model.opt.timestep}.")
  return substeps


def _with_obs_dim(task: Task) -> Task:
  """Returns the task with the size of its observations in the specification."""
  (obs_dim,) = jax.eval_shape(lambda: task.reset(jax.random.key(0)).obs).shape
  return dataclasses.replace(task, spec=task.spec._replace(obs_dim=obs_dim))


def never(obs: Array, action: Array, next_obs: Array) -> Array:
  """Returns False: no transition terminates.

  Example:
    >>> from mbrl_jax import never
    >>> bool(never(None, None, None))
    False
  """
  del obs, action, next_obs
  return jnp.zeros((), bool)
