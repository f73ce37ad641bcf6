"""Walker: a planar biped that walks forward without falling.

Observation ``[18]``; velocities are those of the positions above them:

===== ================================================== ==========
index quantity                                           unit
===== ================================================== ==========
0     position x of the torso; not for learned models    m
1     height of the torso over the floor                 m
2     pitch of the torso, forward positive               rad
3 4 5 right thigh, leg, foot: joint angles               rad
6 7 8 left thigh, leg, foot: joint angles                rad
9 10  velocity of the torso along x, along z             m/s
11    pitch rate                                         rad/s
12-17 joint velocities, in the order of the angles       rad/s
===== ================================================== ==========

Action ``[6]`` within 1: motors of the joints in the order of the angles, times 100 Nm. A
control step is 0.008 s, an episode 1000 of them. It is healthy while the height is between
0.8 and 2 m and the pitch within 1 rad; otherwise the episode terminates. Reward:
``(x' - x) / dt + 1 - 0.001 |a|^2``, the 1 only while healthy.

Source: Gymnasium's walker2d_v5. ``version=4`` is Gymnasium up to version 4: the last,
unhealthy step also pays the 1, and the right foot's friction is 0.9 instead of 1.9; MoPAC and
MBPO used version 2.

Deviations: see ``locomotion`` for x. The observation holds the unclipped velocities; ``encode``
clips them to 10, as Gymnasium's observation, for policies and learned models.
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


def make_walker2d(physics: str = "auto", *, version: int = 5) -> Task:
  """Builds the task; see ``make_gymnasium_task`` for the arguments and errors."""
  model = load_asset("walker2d")
  if version == 4:
    model.geom("right_foot").friction[0] = 0.9
  return make_locomotion(
    "walker2d",
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
  """True once fallen, above 2 m, or NaN."""
  del obs, action
  height, pitch = next_obs[1], next_obs[2]
  return ~((height > 0.8) & (height < 2.0) & (jnp.abs(pitch) < 1.0))


def gym_observation(obs: Array) -> Array:
  """Returns Gymnasium's observation ``[17]``: no x, velocities clipped to 10."""
  return jnp.concatenate([obs[1:9], jnp.clip(obs[9:], -10, 10)])
