"""Hand pen: a 24-joint hand turns a pen to a desired direction.

Observation ``[45]``:

===== ======================================================= =========
index quantity                                                unit
===== ======================================================= =========
0-23  joint angles, see ``robotics.hand``                     rad
24-26 position of the pen                                     m
27-29 velocity of the pen                                     m/s
30-32 angular velocity of the pen, in its own frame           rad/s
33-35 direction of the pen, unit vector                       1
36-38 desired direction, unit vector                          1
39-41 position of the pen minus the desired one               m
42-44 direction of the pen minus the desired one              1
===== ======================================================= =========

Action ``[24]`` within 1, scaled to the ranges of the servos. A control step is 0.01 s, an
episode 100 of them. The hand starts flat with the pen, along x, above its palm. The goal's
Euler angles about x and y are uniform within 1 rad, its position is (0, -0.2, 0.25).

Reward, with the distance ``d`` from that position and the cosine ``c`` of the directions::

  c - d + 10 (c > 0.9) + 50 (c > 0.95) - 5 (dropped)

the bonuses only while ``d < 0.075``. A pen below z = 0.075 is dropped, which terminates.
Success: the larger bonus in more than 20 steps.

Source: the Adroit pen of hand_dapg, mj_envs and D4RL, used by Game-MBRL.

Deviations: see ``robotics.hand``. The pen is a capsule of the same length, radius and mass as
the cylinder. It moves on a free joint, not on three slides and three hinges in a rotated frame,
so its velocity is along the axes of the world, its angular velocity about its own.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics.goal import constant_memory
from mbrl_jax.envs.robotics.hand import JOINTS, over_range
from mbrl_jax.envs.task import Task, make_task
from mbrl_jax.ops.matmul import matmul
from mbrl_jax.ops.norm import norm
from mbrl_jax.ops.quaternion import from_z_axis, z_axis
from mbrl_jax.types import Array, Key, Success

DT = 0.01  # s
POSITION = (0.0, -0.2, 0.25)
"""Desired position of the pen, metres."""

FLOOR = 0.075  # m, a pen below it is dropped
SHOWN = (0.2, -0.2, 0.25)  # m, position of the goal's marker, next to the hand


def make_hand_pen(physics: str = "auto") -> Task:
  """Builds the task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
  """
  model = load_asset("hand_pen")
  home = np.float32(model.qpos0)
  return make_task(
    "hand_pen",
    model,
    physics,
    dt=DT,
    episode_length=100,
    reward=reward,
    terminated=terminated,
    success=Success(at_goal, steps=21),
    initial=lambda key: (jnp.asarray(home), jnp.zeros(model.nv)),
    observe=observe,
    action_low=-np.ones(JOINTS),
    action_high=np.ones(JOINTS),
    command=over_range(model),
    memory=constant_memory(draw_goal),
    marks=marks,
  )


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Rewards the desired direction and position of the pen, charges a drop."""
  distance = norm(next_obs[39:42])
  cosine = matmul(next_obs[33:36], next_obs[36:39])
  near = distance < 0.075
  bonus = 10.0 * (near & (cosine > 0.9)) + 50.0 * (near & (cosine > 0.95))
  return cosine - distance + bonus - 5.0 * terminated(obs, action, next_obs)


def terminated(obs: Array, action: Array, next_obs: Array) -> Array:
  """True once the pen is dropped or NaN."""
  del obs, action
  return ~(next_obs[26] >= FLOOR)


def at_goal(obs: Array) -> Array:
  """Returns whether the pen has the desired position and, within acos(0.95), direction."""
  return (norm(obs[39:42]) < 0.075) & (matmul(obs[33:36], obs[36:39]) > 0.95)


def draw_goal(key: Key) -> Array:
  """Draws the desired direction of the pen ``[3]``."""
  a, b = jax.random.uniform(key, (2,), minval=-1, maxval=1)
  return jnp.stack([jnp.sin(b), -jnp.sin(a) * jnp.cos(b), jnp.cos(a) * jnp.cos(b)])


def observe(physics: PhysicsState) -> Array:
  """Returns hand, pen and goal, and the errors of the pen."""
  hand, pen = physics.qpos[:JOINTS], physics.qpos[JOINTS:]
  axis, goal = z_axis(pen[3:]), physics.memory
  return jnp.concatenate(
    [
      hand,
      pen[:3],
      physics.qvel[JOINTS:],
      axis,
      goal,
      pen[:3] - jnp.array(POSITION),
      axis - goal,
    ]
  )


def marks(physics: PhysicsState) -> Array:
  """Returns the pose of the goal's marker."""
  return jnp.concatenate([jnp.array(SHOWN), from_z_axis(physics.memory)])
