"""Builds the tasks that reward forward velocity along x.

Gymnasium rewards the average velocity over a control step, ``(x' - x) / dt``, but does not
observe the position x, so its reward is no function of ``(obs, action, next_obs)``. Here the
observation is x followed by Gymnasium's observation, and the reward is such a function.
Policies and learned models must not depend on the position; they get ``spec.encode(obs)``,
exactly Gymnasium's observation. A learned model predicts first that average velocity, as in
PETS, then the changes of the rest.

Deviations: x is a float32, so the velocity far from the start is rounded: by up to 8e-6
within 1 m where ``dt`` is 0.008 s, by up to 2e-4 at 100 m where it is 0.05 s.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import mujoco

from mbrl_jax.envs.robotics.reset_noise import Initial
from mbrl_jax.envs.task import Task
from mbrl_jax.envs.tasks.gym.gymnasium_task import make_gymnasium_task
from mbrl_jax.types import Array, TerminationFn


def make_locomotion(
  name: str,
  model: mujoco.MjModel,
  physics: str,
  *,
  dt: float,
  reward: Callable[..., Array],
  terminated: TerminationFn,
  encode: Callable[[Array], Array],
  initial: Initial,
  **options: Any,
) -> Task:
  """Builds a task whose observation begins with the position along x.

  Args:
    name: name of the task.
    model: the compiled model; its actuators' ``ctrlrange`` bounds the actions.
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    dt: seconds of a control step, a multiple of ``model.opt.timestep``.
    reward: see ``make_gymnasium_task``.
    terminated: see ``EnvSpec``.
    encode: see ``EnvSpec``; the observation of Gymnasium.
    initial: see ``Task``.
    **options: other arguments of ``make_gymnasium_task``.
  """
  return make_gymnasium_task(
    name,
    model,
    physics,
    dt=dt,
    reward=reward,
    terminated=terminated,
    initial=initial,
    encode=encode,
    target=functools.partial(target, dt=dt),
    decode=functools.partial(decode, dt=dt),
    **options,
  )


def speed(obs: Array, next_obs: Array, dt: float) -> Array:
  """Returns the average velocity along x over a control step, m/s."""
  return (next_obs[0] - obs[0]) / dt


def target(obs: Array, next_obs: Array, dt: float) -> Array:
  """Returns the prediction target ``[velocity along x, changes of the rest]``."""
  return jnp.concatenate([speed(obs, next_obs, dt)[None], next_obs[1:] - obs[1:]])


def decode(obs: Array, target: Array, dt: float) -> Array:
  """Returns the next observation, the inverse of ``target``."""
  return obs + jnp.concatenate([dt * target[:1], target[1:]])
