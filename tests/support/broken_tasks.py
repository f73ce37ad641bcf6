"""Tasks with one violation of the contract each, for the tests of ``check_env``."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs import Physics, PhysicsState, Task
from mbrl_jax.types import EnvSpec


def point():
  """Makes a valid task: a point pushed along a line."""

  def step(state, ctrl):
    speed = state.qvel + 0.1 * ctrl
    return state._replace(qpos=state.qpos + 0.1 * speed, qvel=speed)

  spec = EnvSpec(
    name="point",
    obs_dim=2,
    action_low=np.float32([-1]),
    action_high=np.float32([1]),
    dt=0.1,
    episode_length=20,
    reward=lambda obs, action, next_obs: -(next_obs[0] ** 2) - 0.1 * jnp.sum(action**2),
    terminated=lambda obs, action, next_obs: jnp.abs(next_obs[0]) > 1.2,
  )
  initial = lambda key: tuple(0.1 * jax.random.normal(key, (2, 1)))
  observe = lambda physics: jnp.concatenate([physics.qpos, physics.qvel])
  return Task(spec, Physics(PhysicsState, step), initial, observe)


def spec_with(**changes):
  return lambda task: dataclasses.replace(task, spec=task.spec._replace(**changes))


def task_with(**changes):
  return lambda task: dataclasses.replace(task, **changes)


class Wrapper:
  """Base class of broken tasks: forwards everything to ``task``."""

  def __init__(self, task):
    self.task = task

  def __getattr__(self, name):
    return getattr(self.task, name)


class Counts(Wrapper):
  """Steps differently each time it is traced."""

  calls = 0

  def step(self, state, action, key):
    self.calls += 1
    return self.task.step(state, action + 0.01 * self.calls, key)


class ResetCounts(Wrapper):
  """Resets differently each time it is traced."""

  calls = 0

  def reset(self, key):
    self.calls += 1
    state = self.task.reset(key)
    return state._replace(obs=state.obs + self.calls)


class HiddenReward(Wrapper):
  """Adds to the reward a function of the time, which is not observed."""

  def step(self, state, action, key):
    state, transition = self.task.step(state, action, key)
    return state, transition._replace(reward=transition.reward + 0.1 * state.steps)


class HiddenTermination(Wrapper):
  """Terminates at a time, which is not observed."""

  def step(self, state, action, key):
    state, transition = self.task.step(state, action, key)
    return state, transition._replace(terminated=state.steps > 5)


class ResetsItself(Wrapper):
  """Auto-resets, so that the state after the last step differs from the transition."""

  def step(self, state, action, key):
    after, transition = self.task.step(state, action, key)
    over = transition.terminated | transition.truncated
    after = jax.tree.map(
      lambda new, old: jnp.where(over, new, old), self.task.reset(key), after
    )
    return after, transition


class Endless(Wrapper):
  """Never truncates an episode."""

  def step(self, state, action, key):
    state, transition = self.task.step(state, action, key)
    return state, transition._replace(truncated=jnp.zeros((), bool))


class Hasty(Wrapper):
  """Truncates episodes too early."""

  def step(self, state, action, key):
    state, transition = self.task.step(state, action, key)
    return state, transition._replace(truncated=state.steps >= 3)


class Both(Wrapper):
  """Terminates and truncates in the same step."""

  def step(self, state, action, key):
    state, transition = self.task.step(state, action, key)
    return state, transition._replace(truncated=state.steps >= 20, terminated=state.steps >= 20)


class Unclipped(Wrapper):
  """Observes the action without clipping it."""

  def step(self, state, action, key):
    state, transition = self.task.step(state, action, key)
    obs = state.obs + action[0]
    return state._replace(obs=obs), transition._replace(next_obs=obs)


class Growing(Wrapper):
  """Changes the structure of the state in a step."""

  def step(self, state, action, key):
    state, transition = self.task.step(state, action, key)
    return state._replace(physics=state.physics._replace(data=jnp.zeros(2))), transition


class Turning(Wrapper):
  """Converts positions to integers in a step."""

  def step(self, state, action, key):
    state, transition = self.task.step(state, action, key)
    physics = state.physics._replace(qpos=jnp.int32(state.physics.qpos))
    return state._replace(physics=physics), transition


def explodes(state, ctrl):
  """Returns NaN positions for the largest control."""
  position = jnp.where(ctrl > 0.999, jnp.nan, state.qpos)
  return state._replace(qpos=position)
