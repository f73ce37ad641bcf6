"""Makes an ``Env`` out of a specification, physics and a few pure functions."""

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
from mbrl_jax.types import Array, EnvSpec, EnvState, Key, Transition


class Memory(NamedTuple):
  """What a task remembers besides the physics: a goal, the last action, a phase.

  It is carried in ``PhysicsState.memory``, where ``observe`` and ``command`` find it.

  Attributes:
    start: ``(key, PhysicsState) -> memory`` at the reset, a pytree of float32 arrays.
    update: ``(PhysicsState before, action [A], PhysicsState after) -> memory``; the state
      after still holds the old memory.
  """

  start: Callable[[Key, PhysicsState], Any]
  update: Callable[[PhysicsState, Array, PhysicsState], Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
  """A task on some physics; keeps ``types.Env``.

  Actions outside the bounds are clipped on their way to the physics; the reward
  and ``Transition.action`` see them as the agent chose them.

  Attributes:
    spec: what learners and planners may know.
    physics: the simulated system.
    initial: ``(key) -> (qpos [nq], qvel [nv])``, draws an initial state; the physics of
      a MuJoCo model takes activations ``[na]`` as a third.
    observe: ``(PhysicsState) -> [O]``.
    model: the MuJoCo model, to draw it; ``None`` for analytic tasks.
    segments: ``(pose [Q]) -> [S, 2, 2]`` end points in metres of line segments
      that draw the task in the plane (numpy), or ``None``.
    memory: what it remembers besides the physics, or ``None``.
    command: ``(PhysicsState, action [A]) -> ctrl [nu]``, of an action within the
      bounds; ``None``: the action itself.
    marks: ``(PhysicsState) -> [7 nmocap]``, where to draw the model's mocap bodies, such as
      a goal: all positions, then all quaternions; ``None``: where the model has them.
    noise: ``(key, obs [O]) -> [O]``, what the sensors show of an observation, which agent and
      reward are given; ``None``: all of it. ``observe`` itself stays exact.
    simulate: ``(models) -> Physics`` like ``physics`` but of other models; ``None`` for
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
    """Returns this task on several models, of which each reset draws one.

    Args:
      models: of the same shape as ``model``, which is still the one that is drawn.

    Raises:
      ValueError: they are not, or the task has no MuJoCo model.
    """
    if self.simulate is None:
      raise ValueError(f"The task {self.spec.name!r} has no MuJoCo model to vary.")
    return dataclasses.replace(self, physics=self.simulate(models))

  @single
  def reset(self, key: Key) -> EnvState:
    """Draws an initial state, and which of several models is in force."""
    chosen, noise_key = {}, None
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
    """Takes one control step; the physics is deterministic, ``key`` is for the sensors.

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
    """Returns the generalised positions ``[nq]`` and where to draw mocap bodies."""
    if self.marks is None:
      return state.physics.qpos
    return jnp.concatenate([state.physics.qpos, self.marks(state.physics)])

  def _sense(self, physics: PhysicsState, key: Key | None) -> Array:
    """Returns the observation as the sensors show it."""
    obs = self.observe(physics)
    return obs if self.noise is None else self.noise(key, obs)

  def _advance(self, before: PhysicsState, action: Array) -> PhysicsState:
    """Steps the physics and what the task remembers."""
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
  reward: Callable[[Array, Array, Array], Array],
  initial: Callable[[Key], tuple[Array, ...]],
  observe: Callable[[PhysicsState], Array],
  terminated: Callable[[Array, Array, Array], Array] | None = None,
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
    name: of the task.
    model: the compiled model.
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    dt: seconds of a control step, a multiple of ``model.opt.timestep``.
    episode_length: control steps.
    reward: see ``EnvSpec``.
    initial: see ``Task``.
    observe: see ``Task``.
    terminated: see ``EnvSpec``; ``None``: never.
    action_low, action_high: bounds ``[A]``; by default the actuators' ``ctrlrange``.
    sensors: names of the sensors that ``observe`` finds in ``PhysicsState.sensors``, the
      values one after the other in this order.
    memory: see ``Task``.
    command: see ``Task``.
    marks: see ``Task``.
    variants: models of the same shape as ``model`` that are simulated in its place, one
      drawn at each reset.
    **spec: other fields of ``EnvSpec``: ``encode``, ``target``, ``decode``, ``cost``.

  Raises:
    ValueError: an unknown physics or sensor; no bounds of the actions, because an actuator
      has no ``ctrlrange``; or a model that MJX does not support, if that is the physics.
  """
  substeps = round(dt / model.opt.timestep)
  if not np.isclose(substeps * model.opt.timestep, dt):
    raise ArgumentError("dt", dt, f"must be a multiple of the timestep {model.opt.timestep}.")
  backend = resolve_backend(physics)
  simulate = functools.partial(
    make_physics, substeps=substeps, backend=backend, sensors=find_sensors(model, sensors)
  )
  low, high = action_bounds(model, action_low, action_high, commanded=command is not None)
  task = Task(
    spec=EnvSpec(
      name=name,
      obs_dim=0,
      action_low=low,
      action_high=high,
      dt=dt,
      episode_length=episode_length,
      reward=reward,
      terminated=terminated or never,
      full_length=terminated in (None, never),
      **spec,
    ),
    physics=simulate(model if variants is None else variants),
    initial=initial,
    observe=observe,
    model=model,
    memory=memory,
    command=command,
    marks=marks,
    simulate=simulate,
  )
  (obs_dim,) = jax.eval_shape(lambda: task.reset(jax.random.key(0)).obs).shape
  return dataclasses.replace(task, spec=task.spec._replace(obs_dim=obs_dim))


def never(obs: Array, action: Array, next_obs: Array) -> Array:
  """Says that no transition terminates."""
  del obs, action, next_obs
  return jnp.zeros((), bool)
