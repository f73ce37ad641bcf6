"""Cube: a 24-joint hand turns a cube in its palm by a quarter turn.

Observation ``[39]``:

===== ============================================ =====
index quantity                                     unit
===== ============================================ =====
0-23  joint angles, see ``robotics.hand``          rad
24-26 position of the cube, from its initial one   m
27-29 orientation of the cube, see ``quaternion``: rad
      Euler angles about x, y, z
30-32 velocity of the cube                         m/s
33-35 angular velocity, in the cube's own frame    rad/s
36-38 desired Euler angles                         rad
===== ============================================ =====

Action ``[24]`` within 1: servo targets from the initial pose to the ends of their ranges, moved
by at most 3 rad/s. A control step is 0.1 s, an episode 70 of them. The goal is 1.5 rad about x
or about z, in either direction. Reward: ``-7 |angles - goal| - 1000 (dropped)``. A cube 0.1 m
below its initial position is dropped, which terminates.

Source: PDDM's cube_env (Nagabandi et al. 2019), which draws one goal and holds it twice for
35 steps.

Deviations: see ``robotics.hand``. The cube is a box with sharp edges on a free joint, not on
three slides and three hinges: its angles do not count whole turns, it has no gimbal lock, and
its angular velocity is not the rate of Euler angles.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics.goal import constant_memory
from mbrl_jax.envs.robotics.hand import JOINTS, around_rest
from mbrl_jax.envs.task import Task, make_task
from mbrl_jax.ops.norm import norm
from mbrl_jax.ops.quaternion import from_euler, to_euler
from mbrl_jax.types import Array, Key

DT = 0.1  # s
SPEED = 3.0  # rad/s, speed limit of the servo targets
TURN = 1.5
"""Angle of the goal, rad."""

START = (0.0, -0.02, 0.24)  # m, initial position of the cube
DROP = 0.1  # m below it
SHOWN = (0.0, 0.2, 0.25)  # m, position of the goal's marker, beyond the fingers


def make_cube(physics: str = "auto") -> Task:
  """Builds the task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
  """
  model = load_asset("cube")
  home = np.float32(model.key_qpos[0])
  return make_task(
    "cube",
    model,
    physics,
    dt=DT,
    episode_length=70,
    reward=reward,
    terminated=terminated,
    initial=lambda key: (jnp.asarray(home), jnp.zeros(model.nv)),
    observe=observe,
    action_low=-np.ones(JOINTS),
    action_high=np.ones(JOINTS),
    command=around_rest(model, share=1.0, reach=SPEED * DT),
    memory=constant_memory(draw_goal),
    marks=marks,
  )


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Charges the distance of the Euler angles from their goal and a drop."""
  distance = norm(next_obs[27:30] - next_obs[36:39])
  return -7.0 * distance - 1000.0 * terminated(obs, action, next_obs)


def terminated(obs: Array, action: Array, next_obs: Array) -> Array:
  """True once the cube is dropped or NaN."""
  del obs, action
  return ~(next_obs[26] >= -DROP)


def draw_goal(key: Key) -> Array:
  """Draws one of the four goals, Euler angles ``[3]``."""
  goals = TURN * np.array([[0, 0, -1], [0, 0, 1], [1, 0, 0], [-1, 0, 0]], np.float32)
  return jnp.asarray(goals)[jax.random.randint(key, (), 0, len(goals))]


def observe(physics: PhysicsState) -> Array:
  """Returns the hand, the cube and its goal."""
  hand, cube = physics.qpos[:JOINTS], physics.qpos[JOINTS:]
  position = cube[:3] - jnp.array(START)
  return jnp.concatenate(
    [hand, position, to_euler(cube[3:]), physics.qvel[JOINTS:], physics.memory]
  )


def marks(physics: PhysicsState) -> Array:
  """Returns the pose of the goal's marker."""
  return jnp.concatenate([jnp.array(SHOWN), from_euler(physics.memory)])
