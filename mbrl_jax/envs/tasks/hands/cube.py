"""Sets the cube: a hand of 24 joints turns a cube in its palm by a quarter turn.

Observation ``[39]``:

===== ============================================ =====
index quantity                                     unit
===== ============================================ =====
0-23  joint angles of the hand, see ``hand24``     rad
24-26 position of the cube, from its start         m
27-29 orientation of the cube, see ``quaternion``: rad
      Euler angles about x, y, z
30-32 velocity of the cube                         m/s
33-35 angular velocity, in the cube's own frame    rad/s
36-38 Euler angles that it shall have              rad
===== ============================================ =====

Action ``[24]`` within 1: servos from the pose of the start to the ends of their ranges, led by
at most 3 rad/s. A control step is 0.1 s, an episode 70 of them. The goal is 1.5 rad about x or
about z, either way. Reward: ``-7 |angles - goal| - 1000 (dropped)``. A cube 0.1 m below its
start is dropped, which terminates.

Source: PDDM's cube_env (Nagabandi et al. 2019), which draws one goal and holds it twice for
35 steps.

Deviations: see ``hand24``. The cube is a box with sharp edges and moves on a free joint, not
on three slides and three hinges: its angles do not count whole turns, nor is there a pose in
which it is locked; its angular velocity is no rate of Euler angles.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics.hand import JOINTS, around_rest
from mbrl_jax.envs.task import Memory, Task, make_task
from mbrl_jax.ops.norm import norm
from mbrl_jax.ops.quaternion import from_euler, to_euler
from mbrl_jax.types import Array, Key

DT = 0.1  # s
SPEED = 3.0  # rad/s, the most that servos are led by
TURN = 1.5
"""How far the cube shall turn, rad."""

START = (0.0, -0.02, 0.24)  # m, where the cube begins
DROP = 0.1  # m below the start
SHOWN = (0.0, 0.2, 0.25)  # m, where the goal is drawn, beyond the fingers


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
    memory=Memory(start, lambda before, action, after: before.memory),
    marks=marks,
  )


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Charges the way of the Euler angles to their goal and a drop."""
  away = norm(next_obs[27:30] - next_obs[36:39])
  return -7.0 * away - 1000.0 * terminated(obs, action, next_obs)


def terminated(obs: Array, action: Array, next_obs: Array) -> Array:
  """Says whether the cube is dropped; so it says of what is not a number."""
  del obs, action
  return ~(next_obs[26] >= -DROP)


def start(key: Key, physics: PhysicsState) -> Array:
  """Draws one of the four goals, Euler angles ``[3]``."""
  del physics
  turns = TURN * np.float32([[0, 0, -1], [0, 0, 1], [1, 0, 0], [-1, 0, 0]])
  return jnp.asarray(turns)[jax.random.randint(key, (), 0, len(turns))]


def observe(physics: PhysicsState) -> Array:
  """Returns the hand, the cube and its goal."""
  hand, cube = physics.qpos[:JOINTS], physics.qpos[JOINTS:]
  place = cube[:3] - jnp.array(START)
  return jnp.concatenate(
    [hand, place, to_euler(cube[3:]), physics.qvel[JOINTS:], physics.memory]
  )


def marks(physics: PhysicsState) -> Array:
  """Places the cube that shows the goal."""
  return jnp.concatenate([jnp.array(SHOWN), from_euler(physics.memory)])
