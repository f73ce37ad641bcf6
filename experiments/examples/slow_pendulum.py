"""A task with a cost, for planners that keep to a limit: a pendulum that must not spin fast.

  TASK=experiments/examples/slow_pendulum.py:slow_pendulum
  LIMIT="--config.lookahead.cost_limit=0 --config.lookahead.horizon=10"
  python -m experiments.train --algo=loop --env=$TASK --env.speed=6 $LIMIT

The cost of a control step is 1 beyond ``speed``; the reward is Gymnasium's and knows nothing of
it. ``lookahead.cost_limit`` is the sum of costs that a plan may be expected to have. The
horizon must show early enough when to brake: the preset's 3 steps do not.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from mbrl_jax import make_env
from mbrl_jax.envs.task import Task
from mbrl_jax.types import Array


def slow_pendulum(physics: str = "auto", speed: float = 5.0) -> Task:
  """Builds the task.

  Args:
    physics: of the pendulum.
    speed: rad/s that it should not exceed; swung up without care it reaches 8.
  """

  def cost(obs: Array, action: Array, next_obs: Array) -> Array:
    del obs, action
    return (jnp.abs(next_obs[2]) > speed).astype(jnp.float32)

  task = make_env("pendulum", physics)
  return dataclasses.replace(task, spec=task.spec._replace(name="slow_pendulum", cost=cost))
