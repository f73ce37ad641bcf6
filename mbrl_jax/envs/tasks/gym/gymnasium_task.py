"""Builds the tasks of Gymnasium's MuJoCo family; versions 4 and 5 differ in the reward."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import mujoco

from mbrl_jax.envs.physics.base import PhysicsState, qpos_and_qvel
from mbrl_jax.envs.robotics.reset_noise import Initial
from mbrl_jax.envs.task import Task, make_task
from mbrl_jax.ops import validate
from mbrl_jax.types import Array, TerminationFn

VERSIONS = (4, 5)


def make_gymnasium_task(
  name: str,
  model: mujoco.MjModel,
  physics: str,
  *,
  dt: float,
  reward: Callable[..., Array],
  terminated: TerminationFn,
  initial: Initial,
  version: int | None = None,
  observe: Callable[[PhysicsState], Array] = qpos_and_qvel,
  **options: Any,
) -> Task:
  """Builds a task of 1000 control steps.

  Args:
    name: name of the task.
    model: the compiled model; its actuators' ``ctrlrange`` bounds the actions.
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    dt: seconds of a control step, a multiple of ``model.opt.timestep``.
    reward: see ``EnvSpec``; it takes the keyword ``version`` unless that is ``None``.
    terminated: see ``EnvSpec``.
    initial: see ``Task``.
    version: Gymnasium's, 5 or 4; ``None`` if the two are the same.
    observe: see ``Task``.
    **options: other arguments of ``make_task``.

  Raises:
    ValueError: an unknown version or physics.
  """
  if version is not None:
    validate.choice("version", version, VERSIONS)
    reward = functools.partial(reward, version=version)
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
    **options,
  )


def healthy_bonus(bonus: float, terminated: Array, version: int) -> Array | float:
  """Returns the bonus of a healthy step; version 4 also pays it in the last, unhealthy step."""
  return bonus if version == 4 else jnp.where(terminated, 0.0, bonus)
