"""Sets the inverted double pendulum: a cart that keeps two poles upright, one on the other.

Observation ``[6]``:

===== ================================================= =====
index quantity                                          unit
===== ================================================= =====
0     position of the cart along the rail, within 1     m
1     angle of the lower pole, 0 upright                rad
2     angle of the upper pole against the lower         rad
3     velocity of the cart                              m/s
4     angular velocity of the lower pole                rad/s
5     angular velocity of the upper against the lower   rad/s
===== ================================================= =====

Action ``[1]`` within 1: force on the cart, times 500 N. A control step is 0.05 s, an
episode 1000 of them; it terminates when the tip, 1.2 m up when upright, is at 1 m or lower.
Reward: ``10 - 0.01 x^2 - (z - 2)^2 - 0.001 w1^2 - 0.005 w2^2`` with the tip at ``(x, z)`` and
the angular velocities ``w1, w2`` after the step, the 10 only while the tip is up.

Source: Gymnasium's inverted_double_pendulum_v5. With ``version=4`` the 10 is paid in the
last step, too.

Deviations: Gymnasium observes sines and cosines of the angles and velocities clipped to 10:
this is what ``encode`` makes for policies and learned models, so that predictions
stay on the circle. The force at the end of the rail, which Gymnasium observes besides, is
no part of the state; ``gym_observation`` shows 0 for it. Gymnasium takes the tip from the
last stage of the integrator, which lags behind the state by a part of a simulation step; the
rewards of random steps differ by 3e-4 on average and 0.03 at most.
"""

from __future__ import annotations

import functools

import jax.numpy as jnp

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics import reset_noise
from mbrl_jax.envs.task import Task, make_task
from mbrl_jax.ops import validate
from mbrl_jax.types import Array

POLE = 0.6
"""Length of each pole, metres."""

DT = 0.05  # s


def make_inverted_double_pendulum(physics: str = "auto", *, version: int = 5) -> Task:
  """Builds the task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    version: Gymnasium's, 5 or 4.

  Raises:
    ValueError: another version or physics.
  """
  validate.choice("version", version, (4, 5))
  model = load_asset("inverted_double_pendulum")
  return make_task(
    "inverted_double_pendulum",
    model,
    physics,
    dt=DT,
    episode_length=1000,
    reward=functools.partial(reward, version=version),
    terminated=terminated,
    initial=reset_noise.uniform_and_normal(model, 0.1),
    observe=observe,
    encode=encode,
  )


def tip(obs: Array) -> tuple[Array, Array]:
  """Returns where the tip of the upper pole is, ``(x, z)`` in metres."""
  lower, upper = obs[1], obs[1] + obs[2]
  x = obs[0] + POLE * (jnp.sin(lower) + jnp.sin(upper))
  return x, POLE * (jnp.cos(lower) + jnp.cos(upper))


def reward(obs: Array, action: Array, next_obs: Array, version: int = 5) -> Array:
  """Rewards a tip that is up, charges its distance from ``(0, 2)`` and the turning."""
  fallen = terminated(obs, action, next_obs)
  bonus = 10.0 if version == 4 else jnp.where(fallen, 0.0, 10.0)
  x, z = tip(next_obs)
  turning = 0.001 * next_obs[4] ** 2 + 0.005 * next_obs[5] ** 2
  return bonus - 0.01 * x**2 - (z - 2) ** 2 - turning


def terminated(obs: Array, action: Array, next_obs: Array) -> Array:
  """Says whether the tip came down; so it says of what is not a number."""
  del obs, action
  return ~(tip(next_obs)[1] > 1)


def encode(obs: Array) -> Array:
  """Returns what learned models are given ``[8]``: what Gymnasium observes, but the force."""
  angles, velocities = obs[1:3], jnp.clip(obs[3:], -10, 10)
  return jnp.concatenate([obs[:1], jnp.sin(angles), jnp.cos(angles), velocities])


def gym_observation(obs: Array) -> Array:
  """Returns what Gymnasium observes ``[9]`` while the cart is not at the end of the rail."""
  return jnp.concatenate([encode(obs), jnp.zeros(1)])


def observe(physics: PhysicsState) -> Array:
  """Returns positions and velocities."""
  return jnp.concatenate([physics.qpos, physics.qvel])
