"""Cart-pole: the swing-up task of PETS.

Chua et al., "Deep Reinforcement Learning in a Handful of Trials using
Probabilistic Dynamics Models" (2018), with the geometry, reward and time step of its
published code. Angle 0 hangs down; the tip of the pole has to reach a point 0.6 m
above the middle of the rail.

Deviations: MuJoCo 4 in place of 1.31, so trajectories agree in kind, not bit for bit.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.task import Task, make_task
from mbrl_jax.types import Array, Key

POLE = 0.6
"""Length of the pole from hinge to tip, metres."""

DT = 0.04  # s
SCALE = 0.1  # standard deviation of the initial positions and velocities


def make_cartpole(physics: str = "auto") -> Task:
  """Builds the task; observation ``[x, theta, xdot, thetadot]`` (m, rad, 1/s).

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
  """
  task = make_task(
    "cartpole",
    load_asset("cartpole"),
    physics,
    dt=DT,
    episode_length=200,
    reward=reward,
    initial=initial,
    observe=observe,
    encode=encode,
  )
  return dataclasses.replace(task, segments=segments)


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Rewards a tip near its goal after the step and charges the squared action.

  ``exp(-|tip - (0, 0.6)|^2 / 0.6^2) - 0.01 |a|^2``: at most 1 a step.
  """
  del obs
  x, theta = next_obs[0], next_obs[1]
  tip = jnp.stack([x - POLE * jnp.sin(theta), -POLE * jnp.cos(theta)])
  distance = jnp.sum((tip - np.array([0.0, POLE], np.float32)) ** 2)
  return jnp.exp(-distance / POLE**2) - 0.01 * jnp.sum(action**2)


def encode(obs: Array) -> Array:
  """Returns ``[sin theta, cos theta, x, xdot, thetadot]``."""
  x, theta, xdot, thetadot = obs
  return jnp.stack([jnp.sin(theta), jnp.cos(theta), x, xdot, thetadot])


def initial(key: Key) -> tuple[Array, Array]:
  """Draws Gaussian positions and velocities around zero."""
  state = SCALE * jax.random.normal(key, (2, 2))
  return state[0], state[1]


def observe(physics: PhysicsState) -> Array:
  """Returns ``[x, theta, xdot, thetadot]``."""
  return jnp.concatenate([physics.qpos, physics.qvel])


def segments(pose: np.ndarray) -> np.ndarray:
  """Draws rail, cart and pole as line segments ``[3, 2, 2]`` in metres."""
  x, theta = float(pose[0]), float(pose[1])
  tip = (x - POLE * np.sin(theta), -POLE * np.cos(theta))
  return np.array(
    [[(-2.5, 0.0), (2.5, 0.0)], [(x - 0.2, 0.0), (x + 0.2, 0.0)], [(x, 0.0), tip]]
  )
