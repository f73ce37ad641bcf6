"""Pusher of PETS: a seven-joint arm pushes a cylinder over a table onto a goal.

Observation ``[20]``:

===== ================================================== ==========
index quantity                                           unit
===== ================================================== ==========
0-6   pan, lift, upper-arm roll, elbow flex, forearm     rad
      roll, wrist flex, wrist roll: joint angles
7-13  joint velocities, in the order of the angles       rad/s
14-16 tip of the hand x, y, z: between its two prongs    m
17-19 middle of the cylinder x, y, z                     m
===== ================================================== ==========

Action ``[7]`` within 2: torques of the joints in Nm. A control step is 0.04 s, an episode 150
of them; it never terminates. The goal is the same in all episodes and not observed. Reward:
``-1.25 |object - goal|_1 - 0.5 |object - tip|_1 - 0.1 |a|^2``. The arm starts stretched out
with a small velocity; the cylinder at (0.6, -0.3) plus noise with a standard deviation of
0.025 m along x and along y.

Source: Chua et al., "Deep Reinforcement Learning in a Handful of Trials using Probabilistic
Dynamics Models" (2018), published code. The tip is that of the code's version of Gym, 0.1 m
in front of the wrist; Gymnasium and mbrl-lib interpret the same model differently and use the
wrist.

Deviations: MuJoCo 4 in place of 1.31. The reward is that of the state after the step, as in
planning. The published environment rewards the state before the step (``original=True``), but
its planner the state after it. Positions are those of the state itself; the original's lag its
angles by one simulation step of 0.01 s. The cylinder weighs 0.04 kg and its slides have no
armature; in the original it is the reverse, with the same motion, but in MuJoCo 4 contacts
use the body's mass of 1e-8 kg and the hand passes through it. The slides carry the cylinder,
not the table: no contact between the two is computed.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.task import Task, make_task
from mbrl_jax.types import Array, Key

DT = 0.04  # s
GOAL = np.array([0.45, -0.05, -0.323], np.float32)
"""Desired position of the cylinder, metres."""

OBJECT = np.array([-0.25, 0.15], np.float32)  # m, mean initial positions of the slides y and x
SPREAD = 0.025  # m, their standard deviation
SLOW = 0.005  # rad/s, largest initial velocity of a joint


def make_pusher(physics: str = "auto", *, original: bool = False) -> Task:
  """Builds the task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    original: reward the state before the step, as the published environment does.
  """
  return make_task(
    "pusher",
    load_asset("pusher"),
    physics,
    dt=DT,
    episode_length=150,
    reward=functools.partial(reward, original=original),
    initial=initial,
    observe=observe,
    sensors=("tip", "object"),
  )


def reward(obs: Array, action: Array, next_obs: Array, original: bool = False) -> Array:
  """Charges the distances object to goal and object to tip (1-norm) and the action."""
  state = obs if original else next_obs
  tip, cylinder = state[14:17], state[17:20]
  to_tip, to_goal = jnp.abs(cylinder - tip).sum(), jnp.abs(cylinder - GOAL).sum()
  return -1.25 * to_goal - 0.5 * to_tip - 0.1 * jnp.sum(action**2)


def initial(key: Key) -> tuple[Array, Array]:
  """Draws joint velocities of the stretched arm and the cylinder; positions are arm, y, x."""
  position_key, velocity_key = jax.random.split(key)
  cylinder = OBJECT + SPREAD * jax.random.normal(position_key, (2,))
  arm = jax.random.uniform(velocity_key, (7,), minval=-SLOW, maxval=SLOW)
  return jnp.concatenate([jnp.zeros(7), cylinder]), jnp.concatenate([arm, jnp.zeros(2)])


def observe(physics: PhysicsState) -> Array:
  """Returns angles, velocities, tip and cylinder."""
  return jnp.concatenate([physics.qpos[:7], physics.qvel[:7], physics.sensors])
