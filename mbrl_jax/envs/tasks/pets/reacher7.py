"""Reacher3D of PETS: a seven-joint arm reaches for a point in space.

Observation ``[17]``:

===== ================================================== ==========
index quantity                                           unit
===== ================================================== ==========
0-6   pan, lift, upper-arm roll, elbow flex, forearm     rad
      roll, wrist flex, wrist roll: joint angles
7-9   goal x, y, z                                       m
10-16 joint velocities, in the order of the angles       rad/s
===== ================================================== ==========

Action ``[7]`` within 20: torques of the joints in Nm. A control step is 0.02 s, an episode 150
of them; it never terminates. Reward: ``-|tip' - goal|^2 - 0.01 |a|^2``, where the tip is the
point between the fingers. The arm starts stretched out at rest. The goal is Gaussian around
(0, 0.25, 0) with a standard deviation of 0.1 m and fixed for the episode.

Source: Chua et al., "Deep Reinforcement Learning in a Handful of Trials using Probabilistic
Dynamics Models" (2018), published code.

Deviations: MuJoCo 4 in place of 1.31. The tip is computed by a chain of rotations. The
published formula constructs its frame from a cross product: it agrees for elbow angles below
0, but ignores the rolls at 0, where every episode starts, and flips the hand above 0, which the
soft limit of the elbow and predictions of a model do reach (an error of 0.24 m on average). The
goal is in the task's memory, not in three joints of the model.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics.goal import constant_memory, mocap_pose
from mbrl_jax.envs.task import Task, make_task
from mbrl_jax.types import Array, Key

DT = 0.02  # s
GOAL = np.array([0.0, 0.25, 0.0], np.float32)  # m, mean of the goals
SPREAD = 0.1  # m, standard deviation of a goal's coordinates

BASE = np.array([0.0, -0.188, 0.0], np.float32)  # m, the axis of the first joint
SHOULDER = np.array([0.1, 0.0, 0.0], np.float32)  # from there to the lift, along the arm
UPPER_ARM = np.array([0.4, 0.0, 0.0], np.float32)
FOREARM = np.array([0.321, 0.0, 0.0], np.float32)
HAND = np.array([0.16828, 0.0, 0.0], np.float32)


def make_reacher7(physics: str = "auto") -> Task:
  """Builds the task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
  """
  return make_task(
    "reacher7",
    load_asset("reacher7"),
    physics,
    dt=DT,
    episode_length=150,
    reward=reward,
    initial=initial,
    observe=observe,
    memory=constant_memory(draw_goal),
    marks=marks,
  )


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Charges the squared distance after the step and the squared action."""
  del obs
  distance = jnp.sum((tip(next_obs[:7]) - next_obs[7:10]) ** 2)
  return -distance - 0.01 * jnp.sum(action**2)


def tip(angles: Array) -> Array:
  """Returns the point between the fingers ``[3]`` of joint angles ``[7]``, in metres."""
  pan, lift, upper_roll, elbow, forearm_roll, wrist, _ = angles
  point = _about_y(wrist, jnp.asarray(HAND)) + FOREARM
  point = _about_y(elbow, _about_x(forearm_roll, point)) + UPPER_ARM
  point = _about_y(lift, _about_x(upper_roll, point)) + SHOULDER
  return _about_z(pan, point) + BASE


def initial(key: Key) -> tuple[Array, Array]:
  """Returns the stretched arm at rest."""
  del key
  return jnp.zeros(7), jnp.zeros(7)


def draw_goal(key: Key) -> Array:
  """Draws the goal ``[3]``."""
  return SPREAD * jax.random.normal(key, (3,)) + GOAL


def observe(physics: PhysicsState) -> Array:
  """Returns angles, goal and velocities."""
  return jnp.concatenate([physics.qpos, physics.memory, physics.qvel])


def marks(physics: PhysicsState) -> Array:
  """Returns the pose of the goal's marker."""
  return mocap_pose(physics.memory)


def _about_x(angle: Array, vector: Array) -> Array:
  x, y, z = vector
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  return jnp.stack([x, cos * y - sin * z, sin * y + cos * z])


def _about_y(angle: Array, vector: Array) -> Array:
  x, y, z = vector
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  return jnp.stack([cos * x + sin * z, y, cos * z - sin * x])


def _about_z(angle: Array, vector: Array) -> Array:
  x, y, z = vector
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  return jnp.stack([cos * x - sin * y, sin * x + cos * y, z])
