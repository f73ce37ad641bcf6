"""Point mass of Game-MBRL: a ball in the plane that has to reach a goal and stay there.

Observation ``[6]``:

===== ==================== =====
index quantity             unit
===== ==================== =====
0 1   position             m
2 3   velocity             m/s
4 5   goal                 m
===== ==================== =====

Action ``[2]`` within 1: force along x and y, times 10 N. A control step is 0.05 s, an episode
25 of them; it never terminates. Reward: ``-|d|_1 - |d|_2 / 2`` with ``d`` from the goal to the
ball after the step. Ball and goal start uniformly within 1 m of the origin along x and y.
Success: at the goal in any of the last four steps.

Source: mjrl, the code of Rajeswaran et al., "A Game Theoretic Framework for Model Based
Reinforcement Learning" (2020).

Deviations: none known except MuJoCo's version.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics.goal import constant_memory, mocap_pose
from mbrl_jax.envs.task import Task, make_task
from mbrl_jax.ops.norm import norm
from mbrl_jax.types import Array, Key, Success

DT = 0.05  # s
HEIGHT = 0.05  # m, of ball and goal over the floor


def make_point_mass(physics: str = "auto") -> Task:
  """Builds the task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
  """
  return make_task(
    "point_mass",
    load_asset("point_mass"),
    physics,
    dt=DT,
    episode_length=25,
    reward=reward,
    success=Success(solved, last=4),
    initial=initial,
    observe=observe,
    memory=constant_memory(draw_goal),
    marks=marks,
  )


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Charges the distance from the goal after the step."""
  del obs, action
  error = next_obs[:2] - next_obs[4:]
  return -jnp.sum(jnp.abs(error)) - 0.5 * norm(error)


def solved(obs: Array) -> Array:
  """Returns whether the ball is at the goal: its reward exceeds -0.1."""
  return reward(obs, jnp.zeros(2), obs) > -0.1


def initial(key: Key) -> tuple[Array, Array]:
  """Draws the position of the ball, at rest."""
  return jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0), jnp.zeros(2)


def draw_goal(key: Key) -> Array:
  """Draws the goal ``[2]``."""
  return jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)


def observe(physics: PhysicsState) -> Array:
  """Returns position, velocity and goal."""
  return jnp.concatenate([physics.qpos, physics.qvel, physics.memory])


def marks(physics: PhysicsState) -> Array:
  """Returns the pose of the goal's marker."""
  return mocap_pose(jnp.append(physics.memory, HEIGHT))
