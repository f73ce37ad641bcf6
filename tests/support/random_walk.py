"""A task with early ends, and small on-policy algorithms on it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.algorithms import default_config, init_state, make_algorithm, make_step
from mbrl_jax.algorithms.parts.gaussian_actor import PolicyConfig
from mbrl_jax.algorithms.parts.value_baseline import BaselineConfig
from mbrl_jax.types import EnvSpec, EnvState, Transition

ENVS = 3
POLICY = PolicyConfig(hidden=(8,), log_std=0.0)


class Walk:
  """A random walk; ends beyond 1.5 and is cut after 5 steps. Encodes ``[x, 2 x + 7, 3]``."""

  def __init__(self):
    self.traces = 0
    bound = np.float32([0.5])
    self.spec = EnvSpec(
      name="walk",
      obs_dim=1,
      action_low=-bound,
      action_high=3 * bound,
      dt=0.1,
      episode_length=5,
      reward=lambda obs, action, next_obs: next_obs[0] - action[0] ** 2,
      terminated=lambda obs, action, next_obs: jnp.abs(next_obs[0]) > 1.5,
      encode=lambda obs: jnp.stack([obs[0], 2 * obs[0] + 7, 3.0 + 0 * obs[0]]),
    )

  def reset(self, key):
    obs = jax.random.uniform(key, (1,), minval=-1.0)
    return EnvState(obs, obs, jnp.int32(0))

  def step(self, state, action, key):
    self.traces += 1
    obs, steps = state.obs + action - 0.5, state.steps + 1
    step = state.obs, action, obs
    ends = self.spec.terminated(*step), steps >= self.spec.episode_length
    return EnvState(obs, obs, steps), Transition(*step[:2], self.spec.reward(*step), obs, *ends)

  def pose(self, state):
    return state.obs


def configured(algo="npg", **changes):
  baseline = BaselineConfig(hidden=(8,), batch_size=5, epochs=2)
  changes = {"steps": 60, "batch": 12, "policy": POLICY, "baseline": baseline, **changes}
  return dataclasses.replace(default_config(algo), **changes)


def begin(env, config=None, envs=ENVS, algo="npg"):
  algorithm = make_algorithm(algo, env.spec, config or configured(algo))
  return algorithm, init_state(algorithm, env, jax.random.key(4), envs)


@functools.cache
def made(algo="npg"):
  """Returns an environment, an algorithm, its initial state and a compiled step of a batch."""
  env = Walk()
  algorithm, state = begin(env, algo=algo)
  return env, algorithm, state, make_step(algorithm, env, steps=12, envs=ENVS)
