"""Swimmer of MBMF: three links in a plane that swim along x.

Observation ``[16]``; velocities are those of the positions above them:

===== ================================================== ==========
index quantity                                           unit
===== ================================================== ==========
0 1   position x, y of the head's root                   m
2     heading: angle of the head from the x axis         rad
3 4   middle, back link: joint angles                    rad
5 6   velocity of the head's root along x, along y       m/s
7     turning rate of the head                           rad/s
8 9   joint velocities                                   rad/s
10-12 centre of mass x, y, z (z is 0)                    m
13-15 velocity of the centre of mass along x, y, z       m/s
===== ================================================== ==========

Action ``[2]`` within 1: motors of the two joints, times 50 Nm. A control step is 0.15 s, an
episode 333 of them; it never terminates. Reward: ``vx' - 0.005 |a|^2``, with ``vx =
obs[13]``.

Option ``reset``, see ``rllab``: both start straight at the origin plus noise; with ``"mpc"``
the heading is exactly along x.

Source: see ``rllab``; its swimmer with 150 instead of 50 simulation steps in a control step.

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
from mbrl_jax.types import Array, Key

DT = 0.15  # s
TIMESTEP = 0.001  # s
HEADING = 2
"""Index of the head's angle in positions and observations."""


def make_swimmer(physics: str = "auto", *, reset: str = "data") -> Task:
  """Builds the task; ``reset`` selects the initial states, see ``rllab``."""
  return rllab.make_rllab(
    "swimmer",
    load(),
    physics,
    dt=DT,
    episode_length=333,
    reward=reward,
    initial=make_initial(reset),
  )


def load(change: Callable[[mujoco.MjSpec], None] | None = None) -> mujoco.MjModel:
  """Compiles the model; see ``rllab.load_rllab``."""
  return rllab.load_rllab("swimmer", "torso", TIMESTEP, change)


def make_initial(reset: str, heading: float = 0.0) -> Initial:
  """Makes ``Task.initial``; with ``"mpc"`` the heading is exactly ``heading`` (rad)."""
  draw = rllab.make_initial(reset, np.zeros(5), 5, even=True)

  def initial(key: Key) -> tuple[Array, Array]:
    qpos, qvel = draw(key)
    return (qpos.at[HEADING].set(heading) if reset == "mpc" else qpos), qvel

  return initial


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Rewards the centre of mass for moving along x and charges the squared action."""
  del obs
  return next_obs[13] - 0.005 * jnp.sum(action**2)
