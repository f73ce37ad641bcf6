"""Shares the common parts of rllab's tasks as modified by MBMF.

Their observations end with position and velocity of the centre of mass of the whole body,
``[x y z vx vy vz]`` (m, m/s), and their rewards pay that velocity along x. The option ``reset``
selects the initial states: ``"data"``, in which MBMF collects random data and TRPO learns, or
``"mpc"``, in which its planner is run and evaluated.

Source: Nagabandi et al., "Neural Network Dynamics for Model-Based Deep Reinforcement Learning
with Model-Free Fine-Tuning" (2017), its published code and its fork of rllab.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics.reset_noise import Initial
from mbrl_jax.envs.task import Task, make_task
from mbrl_jax.ops import validate
from mbrl_jax.types import Array, Key, RewardFn

SENSORS = ("com", "com_velocity")
"""Centre of mass ``[3]`` and its velocity ``[3]``."""

RESETS = ("data", "mpc")
"""Distributions of initial states."""


def observe(physics: PhysicsState) -> Array:
  """Returns positions, velocities and the centre of mass."""
  return jnp.concatenate([physics.qpos, physics.qvel, physics.sensors])


def load_rllab(
  asset: str,
  body: str,
  timestep: float,
  change: Callable[[mujoco.MjSpec], None] | None = None,
) -> mujoco.MjModel:
  """Compiles ``assets/<asset>.xml`` with ``SENSORS`` of the subtree of ``body``.

  Args:
    asset: file name without its suffix.
    body: root of the subtree.
    timestep: seconds of a simulation step.
    change: further edits of the specification.
  """

  def edit(spec: mujoco.MjSpec) -> None:
    spec.option.timestep = timestep
    kinds = (mujoco.mjtSensor.mjSENS_SUBTREECOM, mujoco.mjtSensor.mjSENS_SUBTREELINVEL)
    for name, kind in zip(SENSORS, kinds, strict=True):
      spec.add_sensor(name=name, type=kind, objtype=mujoco.mjtObj.mjOBJ_BODY, objname=body)
    if change is not None:
      change(spec)

  return load_asset(asset, edit)


def make_rllab(
  name: str,
  model: mujoco.MjModel,
  physics: str,
  *,
  dt: float,
  reward: RewardFn,
  initial: Initial,
  episode_length: int = 1000,
  observe: Callable[[PhysicsState], Array] = observe,
  **options: Any,
) -> Task:
  """Builds a task whose physics evaluates ``SENSORS``.

  Args:
    name: name of the task.
    model: the compiled model, see ``load_rllab``.
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    dt: seconds of a control step.
    reward: see ``EnvSpec``.
    initial: see ``Task``.
    episode_length: control steps.
    observe: see ``Task``.
    **options: other arguments of ``make_task``.
  """
  return make_task(
    name,
    model,
    physics,
    dt=dt,
    episode_length=episode_length,
    reward=reward,
    initial=initial,
    observe=observe,
    sensors=SENSORS,
    **options,
  )


def make_initial(
  reset: str,
  home: Any,
  velocities: int,
  *,
  free: bool = False,
  even: bool = False,
  spread: float = 0.01,
) -> Initial:
  """Makes ``Task.initial``: random states around ``home``.

  Args:
    reset: ``"data"``: position noise ``spread * N(0, 1)``; ``"mpc"``: uniform within 0.1.
      Velocities are ``0.1 * N(0, 1)``.
    home: positions ``[nq]``.
    velocities: number of velocities ``nv``.
    free: the first seven positions are those of a free joint, whose quaternion is normalised.
    even: with ``"mpc"`` velocities are uniform within 0.1.
    spread: see ``reset``.

  Raises:
    ValueError: an unknown ``reset``.
  """
  validate.choice("reset", reset, RESETS)
  home = np.asarray(home, np.float32)

  def uniform(key: Key, size: int) -> Array:
    return jax.random.uniform(key, (size,), minval=-0.1, maxval=0.1)

  def initial(key: Key) -> tuple[Array, Array]:
    keys = jax.random.split(key)
    if reset == "data":
      noise = spread * jax.random.normal(keys[0], home.shape)
    else:
      noise = uniform(keys[0], home.size)
    qpos, qvel = home + noise, 0.1 * jax.random.normal(keys[1], (velocities,))
    if even and reset == "mpc":
      qvel = uniform(keys[1], velocities)
    if free:
      quaternion = qpos[3:7] / jnp.linalg.norm(qpos[3:7])
      qpos = jnp.concatenate([qpos[:3], quaternion, qpos[7:]])
    return qpos, qvel

  return initial
