"""A task with a cost, for planners with a cost limit: a pendulum that must not spin fast.

  TASK=experiments/examples/slow_pendulum.py:slow_pendulum
  LIMIT="--config.lookahead.cost_limit=0 --config.lookahead.horizon=10"
  python -m experiments.train --algo=loop --env=$TASK --env.speed=6 $LIMIT

The cost of a control step is 1 above ``speed``, otherwise 0; the reward is Gymnasium's and does
not depend on it. ``lookahead.cost_limit`` limits the expected sum of costs of a plan. The
horizon must be long enough to brake in time: the preset's 3 steps are not.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from mbrl_jax import make_env
from mbrl_jax.envs.task import Task
from mbrl_jax.types import Array


def slow_pendulum(physics: str = "auto", speed: float = 5.0) -> Task:
  """Makes the task.

  Args:
    physics: see ``make_env``.
    speed: limit in rad/s; a swing-up without the cost reaches 8.
  """

  def cost(obs: Array, action: Array, next_obs: Array) -> Array:
    del obs, action
    return (jnp.abs(next_obs[2]) > speed).astype(jnp.float32)

  task = make_env("pendulum", physics)
  return dataclasses.replace(task, spec=task.spec._replace(name="slow_pendulum", cost=cost))
