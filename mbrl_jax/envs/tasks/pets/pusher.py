"""Sets the pusher of PETS: a seven-joint arm pushes a cylinder over a table onto a goal.

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
and slow; the cylinder at (0.6, -0.3), off by 0.025 m along x and along y (standard deviation).

Source: Chua et al., "Deep Reinforcement Learning in a Handful of Trials using Probabilistic
Dynamics Models" (2018), published code. The tip is where that code's version of Gym has it,
0.1 m in front of the wrist; Gymnasium reads the same model otherwise and takes the wrist, and
so does mbrl-lib.

Deviations: MuJoCo 4 in place of 1.31. The reward is that of the state after the step, which is
also what a planner sees of it. The published environment rewards the state before the step
(``original=True``) but lets its planner see the state after it. Positions are those of the
state itself; the original's lag behind its angles by one simulation step of 0.01 s. The
cylinder weighs 0.04 kg and its slides have no armature; the original has it the other way
round, which moves alike, but MuJoCo 4 does not push such a body: contacts take it for the 1e-8
kg that it weighs, and the hand goes through it. The table does not hold the cylinder up, as its
slides do: no contact between them is computed.
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
GOAL = np.float32([0.45, -0.05, -0.323])
"""Where the cylinder is to be, metres."""

OBJECT = np.float32([-0.25, 0.15])  # m, the slides y and x in the middle of all starts
SPREAD = 0.025  # m, their standard deviation
SLOW = 0.005  # rad/s, the largest initial speed of a joint


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
  """Charges object to goal and object to tip (sums of absolute values) and the action."""
  seen = obs if original else next_obs
  tip, thing = seen[14:17], seen[17:20]
  near, far = jnp.abs(thing - tip).sum(), jnp.abs(thing - GOAL).sum()
  return -1.25 * far - 0.5 * near - 0.1 * jnp.sum(action**2)


def initial(key: Key) -> tuple[Array, Array]:
  """Stretches the arm out and puts the cylinder down; positions are arm, y, x."""
  place, speed = jax.random.split(key)
  thing = OBJECT + SPREAD * jax.random.normal(place, (2,))
  speeds = jax.random.uniform(speed, (7,), minval=-SLOW, maxval=SLOW)
  return jnp.concatenate([jnp.zeros(7), thing]), jnp.concatenate([speeds, jnp.zeros(2)])


def observe(physics: PhysicsState) -> Array:
  """Returns angles, velocities, tip and cylinder."""
  return jnp.concatenate([physics.qpos[:7], physics.qvel[:7], physics.sensors])
