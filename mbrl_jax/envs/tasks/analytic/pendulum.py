"""Pendulum: torque-limited swing-up, from closed-form equations.

Constants and equations of Gymnasium's Pendulum-v1: a rod of 1 kg and 1 m under 10 m/s^2,
angle 0 upright, semi-implicit Euler at 0.05 s with the velocity clipped to 8 rad/s.

As in Gymnasium the reward depends on the state BEFORE the step and the clipped torque, so
as a function of ``(obs, action, next_obs)`` it ignores ``next_obs``, and its sum over
transitions is Gymnasium's return.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.physics.base import Physics, PhysicsState
from mbrl_jax.envs.task import Task, never
from mbrl_jax.ops import validate
from mbrl_jax.ops.angle import arctan2
from mbrl_jax.types import Array, EnvSpec, Key

GRAVITY, MASS, LENGTH = 10.0, 1.0, 1.0  # m/s^2, kg, m
DT = 0.05  # s
MAX_SPEED, MAX_TORQUE = 8.0, 2.0  # rad/s, Nm


def make_pendulum(physics: str = "auto") -> Task:
  """Builds the task; observation ``[cos theta, sin theta, thetadot]``.

  Args:
    physics: ``"auto"`` or ``"analytic"``.
  """
  validate.choice("physics", physics, ("auto", "analytic"))
  spec = EnvSpec(
    name="pendulum",
    obs_dim=3,
    action_low=np.array([-MAX_TORQUE], np.float32),
    action_high=np.array([MAX_TORQUE], np.float32),
    dt=DT,
    episode_length=200,
    reward=reward,
    terminated=never,
    full_length=True,
  )
  return Task(spec, Physics(PhysicsState, step), initial, observe, segments=segments)


def step(state: PhysicsState, ctrl: Array) -> PhysicsState:
  """Integrates the equations over ``DT`` with the torque ``ctrl [1]``."""
  gravity = 3 * GRAVITY / (2 * LENGTH) * jnp.sin(state.qpos)
  speed = state.qvel + DT * (gravity + 3 / (MASS * LENGTH**2) * ctrl)
  speed = jnp.clip(speed, -MAX_SPEED, MAX_SPEED)
  return PhysicsState(state.qpos + DT * speed, speed)


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Charges ``theta^2 + 0.1 thetadot^2 + 0.001 u^2`` of the state before the step."""
  del next_obs
  theta = arctan2(obs[1], obs[0])
  torque = jnp.clip(action[0], -MAX_TORQUE, MAX_TORQUE)
  return -(theta**2 + 0.1 * obs[2] ** 2 + 0.001 * torque**2)


def initial(key: Key) -> tuple[Array, Array]:
  """Draws an angle within pi and a velocity within 1 rad/s, uniformly."""
  high = np.array([np.pi, 1.0], np.float32)
  theta, speed = jax.random.uniform(key, (2,), minval=-high, maxval=high)
  return theta[None], speed[None]


def observe(physics: PhysicsState) -> Array:
  """Returns ``[cos theta, sin theta, thetadot]``."""
  theta = physics.qpos[0]
  return jnp.stack([jnp.cos(theta), jnp.sin(theta), physics.qvel[0]])


def segments(pose: np.ndarray) -> np.ndarray:
  """Draws the pivot's base and the rod as line segments ``[2, 2, 2]`` in metres."""
  theta = float(pose[0])
  tip = (-LENGTH * np.sin(theta), LENGTH * np.cos(theta))
  return np.array([[(-0.2, 0.0), (0.2, 0.0)], [(0.0, 0.0), tip]])
