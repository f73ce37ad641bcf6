"""Half-cheetah of MBMF: the usual body with a control step of 0.01 s.

Observation ``[24]``; velocities are those of the positions above them:

====== ================================================== ==========
index  quantity                                           unit
====== ================================================== ==========
0      position x of the trunk                            m
1      height of the trunk over its reference of 0.7 m    m
2      pitch of the trunk, nose down positive             rad
3 4 5  back thigh, shin, foot: joint angles               rad
6 7 8  front thigh, shin, foot: joint angles              rad
9 10   velocity of the trunk along x, along z             m/s
11     pitch rate                                         rad/s
12-17  joint velocities, in the order of the angles       rad/s
18-20  centre of mass x, y, z (y is 0)                    m
21-23  velocity of the centre of mass along x, y, z       m/s
====== ================================================== ==========

Action ``[6]`` within 1: motors of the joints in the order of the angles, times gears of 120,
90, 60, 120, 60, 30 Nm. A control step is 0.01 s, an episode 1000 of them; it never terminates.
Reward: ``vx' - 0.05 |a|^2``, with ``vx = obs[21]``. Option ``reset``, see ``rllab``.

Source: see ``rllab``.

Deviations: MuJoCo 4 in place of 1.31.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.robotics.reset_noise import Initial
from mbrl_jax.envs.task import Task
from mbrl_jax.envs.tasks.mbmf import rllab
from mbrl_jax.types import Array

DT = 0.01  # s


def make_halfcheetah_mbmf(physics: str = "auto", *, reset: str = "data") -> Task:
  """Builds the task; ``reset`` selects the initial states, see ``rllab``."""
  return rllab.make_rllab(
    "halfcheetah_mbmf",
    load(),
    physics,
    dt=DT,
    reward=reward,
    initial=make_initial(reset),
  )


def load(change: Callable[[mujoco.MjSpec], None] | None = None) -> mujoco.MjModel:
  """Compiles the model; see ``rllab.load_rllab``."""
  return rllab.load_rllab("halfcheetah", "trunk", DT, change)


def make_initial(reset: str) -> Initial:
  """Makes ``Task.initial``."""
  return rllab.make_initial(reset, np.zeros(9), 9)


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Rewards the centre of mass for moving along x and charges the squared action."""
  del obs
  return next_obs[21] - 0.05 * jnp.sum(action**2)
