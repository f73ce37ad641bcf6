"""Ant: a ball with four legs that runs along x without turning over.

Observation ``[28]``:

===== ================================================== ==========
index quantity                                           unit
===== ================================================== ==========
0     position x of the torso; not for learned models    m
1     height of the torso over the floor                 m
2-5   orientation of the torso, quaternion w x y z       1
6-13  hip, ankle of front left, front right, back left,  rad
      back right leg: joint angles
14-16 velocity of the torso along x, y, z                m/s
17-19 angular velocity of the torso, in its own frame    rad/s
20-27 joint velocities, in the order of the angles       rad/s
===== ================================================== ==========

Action ``[8]`` within 1: motors of hip, ankle of the back right, front left, front right,
back left leg, times 150 Nm. A control step is 0.05 s, an episode 1000 of them. It is
healthy while all values are finite and the height is between 0.2 and 1 m; otherwise the
episode terminates. Reward: ``(x' - x) / dt + 1 - 0.5 |a|^2``, the 1 only while healthy.

Source: Gymnasium's ant_v5 without contact forces, whose observation is that of MBPO's
AntTruncatedObs. With ``version=4`` the last, unhealthy step also pays the 1.

Deviations: see ``locomotion`` for x. Contact forces are neither observed nor charged, as in
Gymnasium's version 4: they are no function of ``(obs, action, next_obs)``. Gymnasium takes x
from the last stage of the integrator, which lags the state by a fraction of a simulation
step; x here is that of the state. The rewards of single random steps differ by 0.003 on
average and 0.1 at most; over an episode all differences but the last cancel. The
orientation is already normalised at the reset.
"""

from __future__ import annotations

import jax.numpy as jnp

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics import reset_noise
from mbrl_jax.envs.task import Task
from mbrl_jax.envs.tasks.gym.gymnasium_task import healthy_bonus
from mbrl_jax.envs.tasks.gym.locomotion import make_locomotion, speed
from mbrl_jax.types import Array

DT = 0.05  # s


def make_ant(physics: str = "auto", *, version: int = 5) -> Task:
  """Builds the task; see ``make_gymnasium_task`` for the arguments and errors."""
  model = load_asset("ant")
  return make_locomotion(
    "ant",
    model,
    physics,
    dt=DT,
    version=version,
    reward=reward,
    terminated=terminated,
    encode=gym_observation,
    initial=reset_noise.uniform_and_normal(model, 0.1),
    observe=observe,
  )


def reward(obs: Array, action: Array, next_obs: Array, version: int = 5) -> Array:
  """Rewards forward velocity and being healthy, charges the squared action."""
  bonus = healthy_bonus(1.0, terminated(obs, action, next_obs), version)
  return speed(obs, next_obs, DT) + bonus - 0.5 * jnp.sum(action**2)


def terminated(obs: Array, action: Array, next_obs: Array) -> Array:
  """True below 0.2 m, above 1 m or when a value is not finite."""
  del obs, action
  height = next_obs[1]
  return ~(jnp.isfinite(next_obs).all() & (height >= 0.2) & (height <= 1.0))


def gym_observation(obs: Array) -> Array:
  """Returns Gymnasium's observation without contact forces ``[27]``."""
  return obs[1:]


def observe(physics: PhysicsState) -> Array:
  """Returns positions except y, and velocities."""
  return jnp.concatenate([physics.qpos[:1], physics.qpos[2:], physics.qvel])
