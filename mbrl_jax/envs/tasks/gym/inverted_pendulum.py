"""Inverted pendulum: a cart balances a pole.

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

Source: Gymnasium's inverted_pendulum_v5. With ``version=4`` the last step also pays the 1.

Deviations: the reward of a NaN state is NaN, so that divergence is visible.
"""

from __future__ import annotations

import jax.numpy as jnp

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.robotics import reset_noise
from mbrl_jax.envs.task import Task
from mbrl_jax.envs.tasks.gym.gymnasium_task import healthy_bonus, make_gymnasium_task
from mbrl_jax.types import Array

DT = 0.04  # s


def make_inverted_pendulum(physics: str = "auto", *, version: int = 5) -> Task:
  """Builds the task; see ``make_gymnasium_task`` for the arguments and errors."""
  model = load_asset("inverted_pendulum")
  return make_gymnasium_task(
    "inverted_pendulum",
    model,
    physics,
    dt=DT,
    version=version,
    reward=reward,
    terminated=terminated,
    initial=reset_noise.uniform(model, 0.01),
  )


def reward(obs: Array, action: Array, next_obs: Array, version: int = 5) -> Array:
  """Rewards an upright pole."""
  fallen = terminated(obs, action, next_obs)
  bonus = healthy_bonus(1.0, fallen, version)
  return jnp.where(jnp.isnan(next_obs).any(), jnp.nan, bonus)


def terminated(obs: Array, action: Array, next_obs: Array) -> Array:
  """True once the pole has fallen or the state is not finite."""
  del obs, action
  return ~(jnp.isfinite(next_obs).all() & (jnp.abs(next_obs[1]) <= 0.2))


def gym_observation(obs: Array) -> Array:
  """Returns Gymnasium's observation ``[4]``."""
  return obs
