"""Peg insertion of Game-MBRL: a seven-joint arm inserts a peg into a socket.

Observation ``[18]``:

===== ======================================================= =====
index quantity                                                unit
===== ======================================================= =====
0-6   shoulder pan and lift, upper arm roll, elbow, forearm
      roll, wrist flex and roll: joint angles                 rad
7-13  joint velocities times the control step of 0.04 s       rad
14-16 tip of the peg                                          m
17    position of the socket along y                          m
===== ======================================================= =====

Action ``[7]`` within 1: motors of the joints in that order, times 20 Nm for the first, 10 Nm
for the others. A control step is 0.04 s, an episode 50 of them; it never terminates. Reward:
``-|d|_1 - 5 |d|_2 + 5 (|d|_2 < 0.06)`` with ``d`` from the goal to the tip after the step; the
goal is ``(0, y, -0.5)``, 0.1 m deep in the socket. The arm starts stretched and at rest, the
socket is uniform between 0.1 and 0.5 m along y. Success: ``|d|_2 < 0.06`` in the last step.

Source: mjrl, the code of Rajeswaran et al., "A Game Theoretic Framework for Model Based
Reinforcement Learning" (2020).

Deviations: the available sources do not specify the whole geometry. Chosen: the arm of
``reacher_7dof`` at 300 kg/m^3, a gripper of 0.35 m, with which the peg can be upright at all
goals, and a square hole with a clearance of 12 mm around the peg. The socket is part of the
state (a slide that 200 N move by 0.2 mm in an episode), because its position differs between
episodes and must be data. The peg has a round tip.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.task import Task, make_task
from mbrl_jax.ops.norm import norm
from mbrl_jax.types import Array, Key, Success

DT = 0.04  # s
DEPTH = -0.5  # m, height of the goal
NEAR = 0.06  # m, distance below which the peg is inserted


def make_peg_insertion(physics: str = "auto") -> Task:
  """Builds the task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
  """
  return make_task(
    "peg_insertion",
    load_asset("peg_insertion"),
    physics,
    dt=DT,
    episode_length=50,
    reward=reward,
    success=Success(inserted, last=1),
    initial=initial,
    observe=observe,
    sensors=("tip",),
  )


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Charges the distance of the tip from the goal after the step, rewards insertion."""
  del obs, action
  error = _error(next_obs)
  distance = norm(error)
  return -jnp.sum(jnp.abs(error)) - 5 * distance + jnp.where(distance < NEAR, 5.0, 0.0)


def inserted(obs: Array) -> Array:
  """Returns whether the tip is within 6 cm of the goal, in the socket."""
  return norm(_error(obs)) < NEAR


def initial(key: Key) -> tuple[Array, Array]:
  """Returns the stretched arm at rest and draws the position of the socket."""
  socket = jax.random.uniform(key, (1,), minval=0.1, maxval=0.5)
  return jnp.concatenate([jnp.zeros(7), socket]), jnp.zeros(8)


def observe(physics: PhysicsState) -> Array:
  """Returns angles, scaled velocities, tip and socket."""
  angles, socket = physics.qpos[:7], physics.qpos[7:]
  return jnp.concatenate([angles, DT * physics.qvel[:7], physics.sensors, socket])


def _error(obs: Array) -> Array:
  """Returns the vector from the goal to the tip ``[3]``."""
  return obs[14:17] - jnp.stack(
    [jnp.zeros_like(obs[17]), obs[17], jnp.full_like(obs[17], DEPTH)]
  )
