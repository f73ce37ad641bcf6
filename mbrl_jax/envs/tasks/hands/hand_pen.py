"""Sets the in-hand pen: a hand of 24 joints turns a pen until it points as wished.

Observation ``[45]``:

===== ======================================================= =========
index quantity                                                unit
===== ======================================================= =========
0-23  joint angles of the hand, see ``hand24``                rad
24-26 position of the pen                                     m
27-29 velocity of the pen                                     m/s
30-32 angular velocity of the pen, in its own frame           rad/s
33-35 where the pen points                                    1
36-38 where it shall point                                    1
39-41 position of the pen, from that where it shall be        m
42-44 where the pen points, less where it shall               1
===== ======================================================= =========

Action ``[24]`` within 1, spread over the ranges of the servos. A control step is 0.01 s, an
episode 100 of them. The hand begins flat with the pen, along x, above its palm. The goal's
Euler angles about x and y are drawn within 1 rad, its place is (0, -0.2, 0.25).

Reward, with distance ``d`` from that place and ``c``, the cosine between both directions::

  c - d + 10 (c > 0.9) + 50 (c > 0.95) - 5 (dropped)

the bonuses only while ``d < 0.075``. Dropped is a pen below z = 0.075, which terminates.

Source: the Adroit pen of hand_dapg, mj_envs and D4RL, used by Game-MBRL.

Deviations: see ``hand24``. The pen is a capsule of the same length, radius and mass as the
cylinder. It moves on a free joint, not on three slides and three hinges in a turned frame, so
its velocities are those along the axes of the world and about its own.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics.hand import JOINTS, over_range
from mbrl_jax.envs.task import Memory, Task, make_task
from mbrl_jax.ops.matmul import matmul
from mbrl_jax.ops.norm import norm
from mbrl_jax.ops.quaternion import from_z_axis, z_axis
from mbrl_jax.types import Array, Key

DT = 0.01  # s
PLACE = (0.0, -0.2, 0.25)
"""Where the pen shall be, metres."""

FLOOR = 0.075  # m, below it the pen is dropped
SHOWN = (0.2, -0.2, 0.25)  # m, where the goal is drawn, beside the hand


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
    initial=lambda key: (jnp.asarray(home), jnp.zeros(model.nv)),
    observe=observe,
    action_low=-np.ones(JOINTS),
    action_high=np.ones(JOINTS),
    command=over_range(model),
    memory=Memory(start, lambda before, action, after: before.memory),
    marks=marks,
  )


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Rewards a pen that points as wished and is in its place, charges dropping it."""
  distance = norm(next_obs[39:42])
  cosine = matmul(next_obs[33:36], next_obs[36:39])
  near = distance < 0.075
  bonus = 10.0 * (near & (cosine > 0.9)) + 50.0 * (near & (cosine > 0.95))
  return cosine - distance + bonus - 5.0 * terminated(obs, action, next_obs)


def terminated(obs: Array, action: Array, next_obs: Array) -> Array:
  """Says whether the pen is dropped; so it says of what is not a number."""
  del obs, action
  return ~(next_obs[26] >= FLOOR)


def start(key: Key, physics: PhysicsState) -> Array:
  """Draws where the pen shall point ``[3]``."""
  del physics
  a, b = jax.random.uniform(key, (2,), minval=-1, maxval=1)
  return jnp.stack([jnp.sin(b), -jnp.sin(a) * jnp.cos(b), jnp.cos(a) * jnp.cos(b)])


def observe(physics: PhysicsState) -> Array:
  """Returns hand, pen and goal, and what is between them."""
  hand, pen = physics.qpos[:JOINTS], physics.qpos[JOINTS:]
  axis, goal = z_axis(pen[3:]), physics.memory
  return jnp.concatenate(
    [
      hand,
      pen[:3],
      physics.qvel[JOINTS:],
      axis,
      goal,
      pen[:3] - jnp.array(PLACE),
      axis - goal,
    ]
  )


def marks(physics: PhysicsState) -> Array:
  """Places the pen that shows the goal."""
  return jnp.concatenate([jnp.array(SHOWN), from_z_axis(physics.memory)])
