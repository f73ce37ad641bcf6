"""Inverted double pendulum: a cart balances two poles, one on top of the other.

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

Source: Gymnasium's inverted_double_pendulum_v5. With ``version=4`` the last step also pays
the 10.

Deviations: Gymnasium observes sines and cosines of the angles and velocities clipped to 10;
here ``encode`` computes them for policies and learned models, so that predictions stay on
the circle. Gymnasium also observes the force at the end of the rail, which is not part of
the state; ``gym_observation`` returns 0 for it. Gymnasium takes the tip from the last stage
of the integrator, which lags the state by a fraction of a simulation step; the rewards of
random steps differ by 3e-4 on average and 0.03 at most.
"""

from __future__ import annotations

import jax.numpy as jnp

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.robotics import reset_noise
from mbrl_jax.envs.task import Task
from mbrl_jax.envs.tasks.gym.gymnasium_task import healthy_bonus, make_gymnasium_task
from mbrl_jax.types import Array

POLE = 0.6
"""Length of each pole, metres."""

DT = 0.05  # s


def make_inverted_double_pendulum(physics: str = "auto", *, version: int = 5) -> Task:
  """Builds the task; see ``make_gymnasium_task`` for the arguments and errors."""
  model = load_asset("inverted_double_pendulum")
  return make_gymnasium_task(
    "inverted_double_pendulum",
    model,
    physics,
    dt=DT,
    version=version,
    reward=reward,
    terminated=terminated,
    initial=reset_noise.uniform_and_normal(model, 0.1),
    encode=encode,
  )


def tip(obs: Array) -> tuple[Array, Array]:
  """Returns the position of the upper pole's tip, ``(x, z)`` in metres."""
  lower, upper = obs[1], obs[1] + obs[2]
  x = obs[0] + POLE * (jnp.sin(lower) + jnp.sin(upper))
  return x, POLE * (jnp.cos(lower) + jnp.cos(upper))


def reward(obs: Array, action: Array, next_obs: Array, version: int = 5) -> Array:
  """Rewards a raised tip, charges its distance from ``(0, 2)`` and angular velocities."""
  fallen = terminated(obs, action, next_obs)
  bonus = healthy_bonus(10.0, fallen, version)
  x, z = tip(next_obs)
  turning = 0.001 * next_obs[4] ** 2 + 0.005 * next_obs[5] ** 2
  return bonus - 0.01 * x**2 - (z - 2) ** 2 - turning


def terminated(obs: Array, action: Array, next_obs: Array) -> Array:
  """True once the tip is at 1 m or lower, or NaN."""
  del obs, action
  return ~(tip(next_obs)[1] > 1)


def encode(obs: Array) -> Array:
  """Returns the input of learned models ``[8]``: Gymnasium's observation without the force."""
  angles, velocities = obs[1:3], jnp.clip(obs[3:], -10, 10)
  return jnp.concatenate([obs[:1], jnp.sin(angles), jnp.cos(angles), velocities])


def gym_observation(obs: Array) -> Array:
  """Returns Gymnasium's observation ``[9]`` while the cart is not at the end of the rail."""
  return jnp.concatenate([encode(obs), jnp.zeros(1)])
