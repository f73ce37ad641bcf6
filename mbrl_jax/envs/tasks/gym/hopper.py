"""Hopper: a planar leg that hops forward without falling.

Observation ``[12]``; velocities are those of the positions above them:

===== ================================================== ==========
index quantity                                           unit
===== ================================================== ==========
0     position x of the torso; not for learned models    m
1     height of the torso over the floor                 m
2     pitch of the torso, forward positive               rad
3 4 5 thigh, leg, foot: joint angles                     rad
6 7   velocity of the torso along x, along z             m/s
8     pitch rate                                         rad/s
9-11  joint velocities, in the order of the angles       rad/s
===== ================================================== ==========

Action ``[3]`` within 1: motors of the joints in the order of the angles, times 200 Nm. A
control step is 0.008 s, an episode 1000 of them. It is healthy while the height exceeds
0.7 m, the pitch is within 0.2 rad and all of ``obs[2:]`` within 100; otherwise the episode
terminates. Reward: ``(x' - x) / dt + 1 - 0.001 |a|^2``, the 1 only while healthy.

Source: Gymnasium's hopper_v5. With ``version=4`` the last, unhealthy step also pays the 1, as
in Gymnasium up to version 4; MoPAC, MBPO and Game-MBRL used versions 2 and 3.

Deviations: see ``locomotion`` for x. The observation holds the unclipped velocities, because
termination depends on them; ``encode`` clips them to 10, as Gymnasium's observation, for
policies and learned models.
"""

from __future__ import annotations

import jax.numpy as jnp

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.robotics import reset_noise
from mbrl_jax.envs.task import Task
from mbrl_jax.envs.tasks.gym.gymnasium_task import healthy_bonus
from mbrl_jax.envs.tasks.gym.locomotion import make_locomotion, speed
from mbrl_jax.types import Array

DT = 0.008  # s


def make_hopper(physics: str = "auto", *, version: int = 5) -> Task:
  """Builds the task; see ``make_gymnasium_task`` for the arguments and errors."""
  model = load_asset("hopper")
  return make_locomotion(
    "hopper",
    model,
    physics,
    dt=DT,
    version=version,
    reward=reward,
    terminated=terminated,
    encode=gym_observation,
    initial=reset_noise.uniform(model, 0.005),
  )


def reward(obs: Array, action: Array, next_obs: Array, version: int = 5) -> Array:
  """Rewards forward velocity and being healthy, charges the squared action."""
  bonus = healthy_bonus(1.0, terminated(obs, action, next_obs), version)
  return speed(obs, next_obs, DT) + bonus - 0.001 * jnp.sum(action**2)


def terminated(obs: Array, action: Array, next_obs: Array) -> Array:
  """True once fallen, beyond 100, or NaN."""
  del obs, action
  within = (jnp.abs(next_obs[2:]) < 100).all()
  return ~(within & (next_obs[1] > 0.7) & (jnp.abs(next_obs[2]) < 0.2))


def gym_observation(obs: Array) -> Array:
  """Returns Gymnasium's observation ``[11]``: no x, velocities clipped to 10."""
  return jnp.concatenate([obs[1:6], jnp.clip(obs[6:], -10, 10)])
