"""Ant of MBMF: the usual body with a control step of 0.02 s.

Observation ``[35]``:

===== ================================================== ==========
index quantity                                           unit
===== ================================================== ==========
0-2   position x, y, z of the torso                      m
3-6   orientation of the torso, quaternion w x y z       1
7-14  hip, ankle of front left, front right, back left,  rad
      back right leg: joint angles
15-17 velocity of the torso along x, y, z                m/s
18-20 angular velocity of the torso, in its own frame    rad/s
21-28 joint velocities, in the order of the angles       rad/s
29-31 centre of mass x, y, z                             m
32-34 velocity of the centre of mass along x, y, z       m/s
===== ================================================== ==========

Action ``[8]`` within 1: motors of hip, ankle of the back right, front left, front right,
back left leg, times 150 Nm. A control step is 0.02 s, an episode 1000 of them. The episode
terminates unless all values are finite and the centre of mass is between 0.3 and 1 m high.
Reward: ``vx' + 0.05 - 0.005 |a|^2``, with ``vx = obs[32]``; the last step also pays the 0.05.
Option ``reset``, see ``rllab``; an episode starts with bent legs.

Source: see ``rllab``.

Deviations: MuJoCo 4 in place of 1.31. rllab also observes the rotation matrix of the torso;
here ``encode`` adds it, so that learned models need not predict what the orientation implies.
MBMF's networks get cosines and sines of Euler angles instead, one of them wrong.
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

DT = 0.02  # s
HOME = np.array([0, 0, 0.55, 1, 0, 0, 0, 0, 1, 0, -1, 0, -1, 0, 1], np.float32)
SOLIMP = (0.8, 0.8, 0.01, 0.5, 2)  # rllab's contacts are softer than Gymnasium's


def make_ant_mbmf(physics: str = "auto", *, reset: str = "data") -> Task:
  """Builds the task; ``reset`` selects the initial states, see ``rllab``."""
  return rllab.make_rllab(
    "ant_mbmf",
    load(),
    physics,
    dt=DT,
    reward=reward,
    terminated=terminated,
    initial=make_initial(reset),
    encode=rllab_observation,
  )


def load(change: Callable[[mujoco.MjSpec], None] | None = None) -> mujoco.MjModel:
  """Compiles the model; see ``rllab.load_rllab``."""

  def soften(spec: mujoco.MjSpec) -> None:
    for geom in spec.geoms:
      geom.solimp = SOLIMP
    if change is not None:
      change(spec)

  return rllab.load_rllab("ant", "torso", DT, soften)


def make_initial(reset: str) -> Initial:
  """Makes ``Task.initial``."""
  return rllab.make_initial(reset, HOME, 14, free=True)


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Rewards the centre of mass for moving along x and charges the squared action."""
  del obs
  return next_obs[32] + 0.05 - 0.005 * jnp.sum(action**2)


def terminated(obs: Array, action: Array, next_obs: Array) -> Array:
  """True below 0.3 m, above 1 m or when a value is not finite."""
  del obs, action
  height = next_obs[31]
  return ~(jnp.isfinite(next_obs).all() & (height >= 0.3) & (height <= 1.0))


def rllab_observation(obs: Array) -> Array:
  """Returns rllab's observation ``[44]``: with the torso's rotation matrix after velocities."""
  return jnp.concatenate([obs[:29], rotation(obs[3:7]).ravel(), obs[29:]])


def rotation(quaternion: Array) -> Array:
  """Returns the matrix ``[3, 3]`` of a quaternion ``w x y z`` of any length but 0."""
  w, x, y, z = quaternion / jnp.sqrt(jnp.maximum(jnp.sum(quaternion**2), 1e-12))
  rows = (
    (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
    (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
    (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
  )
  return jnp.stack([jnp.stack(row) for row in rows])
