"""Makes the tasks that reward running forward along x.

Gymnasium rewards the average velocity over a control step, ``(x' - x) / dt``, but leaves
the position x out of the observation, so its reward is no function of ``(obs, action,
next_obs)``. Here the observation is ``[x, what Gymnasium observes]`` and the reward such a
function. Policies and learned models, which the position must not matter to, are
given ``spec.encode(obs)``: exactly what Gymnasium observes. A learned model predicts, first,
that average velocity itself, as PETS does, then the changes of the rest.

Deviations: x is a float32, so the velocity far from the start is rounded: by up to 8e-6
within 1 m where ``dt`` is 0.008 s, by up to 2e-4 at 100 m where it is 0.05 s.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.physics import PhysicsState, make_physics, resolve_backend
from mbrl_jax.envs.sensors import find_sensors
from mbrl_jax.envs.task import Task
from mbrl_jax.types import Array, EnvSpec, Key

Judge = Callable[[Array, Array, Array], Array]


def make_runner(
  name: str,
  model: mujoco.MjModel,
  physics: str,
  *,
  dt: float,
  reward: Judge,
  terminated: Judge,
  encode: Callable[[Array], Array],
  initial: Callable[[Key], tuple[Array, Array]],
  observe: Callable[[PhysicsState], Array],
  obs_dim: int,
  sensors: tuple[str, ...] = (),
) -> Task:
  """Builds a task whose observation begins with the position along x.

  Args:
    name: of the task.
    model: the compiled model; its actuators' ``ctrlrange`` bounds the actions.
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    dt: seconds of one control step, a multiple of ``model.opt.timestep``.
    reward: see ``EnvSpec``.
    terminated: see ``EnvSpec``.
    encode: see ``EnvSpec``; what Gymnasium observes.
    initial: see ``Task``.
    observe: see ``Task``.
    obs_dim: ``O``.
    sensors: names of the sensors that ``observe`` finds in ``PhysicsState.sensors``.
  """
  spec = EnvSpec(
    name=name,
    obs_dim=obs_dim,
    action_low=np.float32(model.actuator_ctrlrange[:, 0]),
    action_high=np.float32(model.actuator_ctrlrange[:, 1]),
    dt=dt,
    episode_length=1000,
    reward=reward,
    terminated=terminated,
    encode=encode,
    target=functools.partial(target, dt=dt),
    decode=functools.partial(decode, dt=dt),
  )
  substeps = round(dt / model.opt.timestep)
  engine = make_physics(model, substeps, resolve_backend(physics), find_sensors(model, sensors))
  return Task(spec, engine, initial, observe, model)


def speed(obs: Array, next_obs: Array, dt: float) -> Array:
  """Returns the average velocity along x over a control step, m/s."""
  return (next_obs[0] - obs[0]) / dt


def target(obs: Array, next_obs: Array, dt: float) -> Array:
  """Returns what a model predicts: ``[velocity along x, changes of the rest]``."""
  return jnp.concatenate([speed(obs, next_obs, dt)[None], next_obs[1:] - obs[1:]])


def decode(obs: Array, target: Array, dt: float) -> Array:
  """Returns the next observation that ``target`` stands for."""
  return obs + jnp.concatenate([dt * target[:1], target[1:]])
