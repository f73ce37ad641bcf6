"""Makes tasks from environments of other libraries, with the functions that planning needs.

  python -m experiments.train --env=experiments/examples/foreign_tasks.py:gymnasium_pendulum
  python -m experiments.train --env=experiments/examples/foreign_tasks.py:playground_cartpole

`--env=gymnasium:Pendulum-v1` makes the same pendulum without a reward function: an environment
only returns the rewards of its own steps, whereas a planner over a learned model needs the
reward of predicted states. Requires `pip install 'mbrl_jax[gymnasium]'` or
`'mbrl_jax[playground]'`.
"""

from __future__ import annotations

import jax.numpy as jnp

from mbrl_jax import Env, from_gymnasium, from_playground, make_env, never
from mbrl_jax.types import Array


def gymnasium_pendulum(episode_length: int = 200) -> Env:
  """Makes Gymnasium's Pendulum-v1 with the reward function of `make_env("pendulum")`."""
  reward = make_env("pendulum").spec.reward
  return from_gymnasium(
    "Pendulum-v1", reward=reward, terminated=never, episode_length=episode_length
  )


def playground_cartpole(
  name: str = "CartpoleBalance", episode_length: int = 1000, ctrl_dt: float = 0.01
) -> Env:
  """Makes a cart-pole of MuJoCo Playground (CartpoleBalance, CartpoleSwingup).

  Args:
    name: in Playground's registry.
    episode_length: control steps.
    ctrl_dt: seconds of a control step, a multiple of 0.01.
  """
  return from_playground(
    name,
    reward=cartpole_reward,
    terminated=never,
    episode_length=episode_length,
    ctrl_dt=ctrl_dt,
  )


def cartpole_reward(obs: Array, action: Array, next_obs: Array) -> Array:
  """Rewards an upright, still pole at the centre and small forces.

  As in the DeepMind Control Suite's cart-pole: a product of four terms, from 0 to 1.

  Args:
    obs: unused.
    action: ``[1]`` within -1 and 1.
    next_obs: ``[position, cos, sin of the angle, velocity, angular velocity]``.
  """
  del obs
  position, cosine, _, _, spin = next_obs
  upright = (1 + cosine) / 2
  centred = (1 + 0.1 ** ((position / 2) ** 2)) / 2
  gentle = (4 + jnp.maximum(0.0, 1 - action[0] ** 2)) / 5
  still = (1 + 0.1 ** ((spin / 5) ** 2)) / 2
  return upright * centred * gentle * still
