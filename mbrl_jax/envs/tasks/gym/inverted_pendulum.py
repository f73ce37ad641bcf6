"""Sets the inverted pendulum: a cart that keeps a pole upright.

Observation ``[4]``, as Gymnasium's:

===== ============================================= =====
index quantity                                      unit
===== ============================================= =====
0     position of the cart along the rail, within 1 m
1     angle of the pole, 0 upright                  rad
2     velocity of the cart                          m/s
3     angular velocity of the pole                  rad/s
===== ============================================= =====

Action ``[1]`` within 3: force on the cart, times 100 N. A control step is 0.04 s, an
episode 1000 of them; it terminates when the angle exceeds 0.2 rad. Reward: 1 while it does
not.

Source: Gymnasium's inverted_pendulum_v5. With ``version=4`` the 1 is paid in the last step,
too.

Deviations: a state that is not a number has a reward that is not a number, so that it shows.
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

DT = 0.04  # s


def make_inverted_pendulum(physics: str = "auto", *, version: int = 5) -> Task:
  """Builds the task.

  Args:
    physics: ``"auto"``, ``"mjx"`` or ``"mujoco"``.
    version: Gymnasium's, 5 or 4.

  Raises:
    ValueError: another version or physics.
  """
  validate.choice("version", version, (4, 5))
  model = load_asset("inverted_pendulum")
  return make_task(
    "inverted_pendulum",
    model,
    physics,
    dt=DT,
    episode_length=1000,
    reward=functools.partial(reward, version=version),
    terminated=terminated,
    initial=reset_noise.uniform(model, 0.01),
    observe=observe,
  )


def reward(obs: Array, action: Array, next_obs: Array, version: int = 5) -> Array:
  """Rewards a pole that stands."""
  fallen = terminated(obs, action, next_obs)
  paid = 1.0 if version == 4 else jnp.where(fallen, 0.0, 1.0)
  return jnp.where(jnp.isnan(next_obs).any(), jnp.nan, paid)


def terminated(obs: Array, action: Array, next_obs: Array) -> Array:
  """Says whether the pole has fallen or the state is not finite."""
  del obs, action
  return ~(jnp.isfinite(next_obs).all() & (jnp.abs(next_obs[1]) <= 0.2))


def gym_observation(obs: Array) -> Array:
  """Returns what Gymnasium observes ``[4]``."""
  return obs


def observe(physics: PhysicsState) -> Array:
  """Returns positions and velocities."""
  return jnp.concatenate([physics.qpos, physics.qvel])
