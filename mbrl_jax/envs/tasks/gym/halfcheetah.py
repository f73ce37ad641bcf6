"""Half-cheetah: a planar body with two legs that runs forward.

``halfcheetah`` is Gymnasium's HalfCheetah, whose versions 4 and 5 are the same;
``halfcheetah_pets`` is that of PETS: the same body and reward, less noise at the reset, and
networks get the pitch as sine and cosine.

Observation ``[18]``; velocities are those of the positions above them:

====== ================================================== ==========
index  quantity                                           unit
====== ================================================== ==========
0      position x of the trunk; not for learned models    m
1      height of the trunk over its reference of 0.7 m    m
2      pitch of the trunk, nose down positive             rad
3 4 5  back thigh, shin, foot: joint angles               rad
6 7 8  front thigh, shin, foot: joint angles              rad
9 10   velocity of the trunk along x, along z             m/s
11     pitch rate                                         rad/s
12-17  joint velocities, in the order of the angles       rad/s
====== ================================================== ==========

Action ``[6]`` within 1: motors of the joints in the order of the angles, times gears of
120, 90, 60, 120, 60, 30 Nm. A control step is 0.05 s, an episode 1000 of them; it never
terminates. Reward: ``(x' - x) / dt - 0.1 |a|^2``.

Sources: Gymnasium's half_cheetah_v5; Chua et al., "Deep Reinforcement Learning in a
Handful of Trials using Probabilistic Dynamics Models" (2018), published code.

Deviations: see ``locomotion`` for x. PETS observes the average velocity over the last control
step in place of x; its networks get and predict the same as here.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import mujoco

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.robotics import reset_noise
from mbrl_jax.envs.task import Task, never
from mbrl_jax.envs.tasks.gym.locomotion import make_locomotion, speed
from mbrl_jax.types import Array

DT = 0.05  # s


def make_halfcheetah(physics: str = "auto") -> Task:
  """Builds Gymnasium's task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
  """
  model = load_asset("halfcheetah")
  initial = reset_noise.uniform_and_normal(model, 0.1)
  return _make("halfcheetah", model, physics, initial, gym_observation)


def make_halfcheetah_pets(physics: str = "auto") -> Task:
  """Builds the task of PETS.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
  """
  model = load_asset("halfcheetah")
  initial = reset_noise.normal(model, 0.001)
  return _make("halfcheetah_pets", model, physics, initial, encode_pets)


def _make(
  name: str,
  model: mujoco.MjModel,
  physics: str,
  initial: reset_noise.Initial,
  encode: Callable[[Array], Array],
) -> Task:
  return make_locomotion(
    name,
    model,
    physics,
    dt=DT,
    reward=reward,
    terminated=never,
    encode=encode,
    initial=initial,
  )


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Rewards forward velocity and charges the squared action."""
  return speed(obs, next_obs, DT) - 0.1 * jnp.sum(action**2)


def gym_observation(obs: Array) -> Array:
  """Returns Gymnasium's observation ``[17]``."""
  return obs[1:]


def encode_pets(obs: Array) -> Array:
  """Returns the input of PETS' networks ``[18]``: no x, the pitch as sine and cosine."""
  pitch = jnp.stack([jnp.sin(obs[2]), jnp.cos(obs[2])])
  return jnp.concatenate([obs[1:2], pitch, obs[3:]])
