"""Sets the ant of MBMF: the usual body, asked for an action every 0.02 s.

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
terminates unless all is finite and the centre of mass between 0.3 and 1 m high. Reward:
``vx' + 0.05 - 0.005 |a|^2``, ``vx`` being ``obs[32]``; the 0.05 is paid in the last step, too.
Option ``reset``, see ``rllab``; an episode starts with bent legs.

Source: see ``rllab``.

Deviations: MuJoCo 4 in place of 1.31. rllab observes the rotation matrix of the torso besides;
here ``encode`` adds it, so that no learned model has to predict what the orientation implies.
MBMF's nets are given cosines and sines of Euler angles in its place, one of them wrong.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics.reset_noise import Initial
from mbrl_jax.envs.task import Task, make_task
from mbrl_jax.envs.tasks.mbmf import rllab
from mbrl_jax.types import Array

DT = 0.02  # s
HOME = np.float32([0, 0, 0.55, 1, 0, 0, 0, 0, 1, 0, -1, 0, -1, 0, 1])
SOLIMP = (0.8, 0.8, 0.01, 0.5, 2)  # rllab's contacts are softer than Gymnasium's


def make_ant_mbmf(physics: str = "auto", *, reset: str = "data") -> Task:
  """Builds the task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    reset: ``"data"`` or ``"mpc"``, how an episode starts.

  Raises:
    ValueError: another reset or physics.
  """
  return make_task(
    "ant_mbmf",
    load(),
    physics,
    dt=DT,
    episode_length=1000,
    reward=reward,
    terminated=terminated,
    initial=make_initial(reset),
    observe=observe,
    sensors=rllab.SENSORS,
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
  """Builds how an episode starts."""
  return rllab.make_initial(reset, HOME, 14, free=True)


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Rewards the centre of mass for moving along x and charges the squared action."""
  del obs
  return next_obs[32] + 0.05 - 0.005 * jnp.sum(action**2)


def terminated(obs: Array, action: Array, next_obs: Array) -> Array:
  """Says whether it lies on the floor, jumped, or holds what is not finite."""
  del obs, action
  height = next_obs[31]
  return ~(jnp.isfinite(next_obs).all() & (height >= 0.3) & (height <= 1.0))


def rllab_observation(obs: Array) -> Array:
  """Returns what rllab observes ``[44]``: the torso's rotation matrix after the velocities."""
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


def observe(physics: PhysicsState) -> Array:
  """Returns positions, velocities and the centre of mass."""
  return jnp.concatenate([physics.qpos, physics.qvel, physics.sensors])
