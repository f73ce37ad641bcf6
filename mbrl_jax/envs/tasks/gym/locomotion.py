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

from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.task import Task, make_task
from mbrl_jax.types import Array, Key, RewardFn, TerminationFn


def make_locomotion(
  name: str,
  model: mujoco.MjModel,
  physics: str,
  *,
  dt: float,
  reward: RewardFn,
  terminated: TerminationFn,
  encode: Callable[[Array], Array],
  initial: Callable[[Key], tuple[Array, Array]],
  observe: Callable[[PhysicsState], Array],
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
    sensors: names of the sensors that ``observe`` finds in ``PhysicsState.sensors``.
  """
  return make_task(
    name,
    model,
    physics,
    dt=dt,
    episode_length=1000,
    reward=reward,
    terminated=terminated,
    initial=initial,
    observe=observe,
    sensors=sensors,
    encode=encode,
    target=functools.partial(target, dt=dt),
    decode=functools.partial(decode, dt=dt),
  )


def speed(obs: Array, next_obs: Array, dt: float) -> Array:
  """Returns the average velocity along x over a control step, m/s."""
  return (next_obs[0] - obs[0]) / dt


def target(obs: Array, next_obs: Array, dt: float) -> Array:
  """Returns what a model predicts: ``[velocity along x, changes of the rest]``."""
  return jnp.concatenate([speed(obs, next_obs, dt)[None], next_obs[1:] - obs[1:]])


def decode(obs: Array, target: Array, dt: float) -> Array:
  """Returns the next observation that ``target`` stands for."""
  return obs + jnp.concatenate([dt * target[:1], target[1:]])
