"""Tasks that are broken in one way each, for the checks that are to find it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs import Physics, PhysicsState, Task
from mbrl_jax.types import EnvSpec


def point():
  """A point that is pushed along a line; nothing is wrong with it."""

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
  """A task of which a subclass breaks a method."""

  def __init__(self, task):
    self.task = task

  def __getattr__(self, name):
    return getattr(self.task, name)


class Counts(Wrapper):
  """Steps otherwise each time it is traced."""

  calls = 0

  def step(self, state, action, key):
    self.calls += 1
    return self.task.step(state, action + 0.01 * self.calls, key)


class ResetCounts(Wrapper):
  calls = 0

  def reset(self, key):
    self.calls += 1
    state = self.task.reset(key)
    return state._replace(obs=state.obs + self.calls)


class HiddenReward(Wrapper):
  """Rewards the time, which is not observed."""

  def step(self, state, action, key):
    state, transition = self.task.step(state, action, key)
    return state, transition._replace(reward=transition.reward + 0.1 * state.steps)


class HiddenTermination(Wrapper):
  def step(self, state, action, key):
    state, transition = self.task.step(state, action, key)
    return state, transition._replace(terminated=state.steps > 5)


class ResetsItself(Wrapper):
  """Starts anew by itself, so that the transition holds an observation after the reset."""

  def step(self, state, action, key):
    after, transition = self.task.step(state, action, key)
    over = transition.terminated | transition.truncated
    after = jax.tree.map(
      lambda new, old: jnp.where(over, new, old), self.task.reset(key), after
    )
    return after, transition


class Endless(Wrapper):
  def step(self, state, action, key):
    state, transition = self.task.step(state, action, key)
    return state, transition._replace(truncated=jnp.zeros((), bool))


class Hasty(Wrapper):
  def step(self, state, action, key):
    state, transition = self.task.step(state, action, key)
    return state, transition._replace(truncated=state.steps >= 3)


class Both(Wrapper):
  def step(self, state, action, key):
    state, transition = self.task.step(state, action, key)
    return state, transition._replace(truncated=state.steps >= 20, terminated=state.steps >= 20)


class Unclipped(Wrapper):
  def step(self, state, action, key):
    state, transition = self.task.step(state, action, key)
    obs = state.obs + action[0]
    return state._replace(obs=obs), transition._replace(next_obs=obs)


class Growing(Wrapper):
  """Gives steps another type from the first step on."""

  def step(self, state, action, key):
    state, transition = self.task.step(state, action, key)
    return state._replace(physics=state.physics._replace(data=jnp.zeros(2))), transition


class Turning(Wrapper):
  """Turns positions to integers in a step."""

  def step(self, state, action, key):
    state, transition = self.task.step(state, action, key)
    physics = state.physics._replace(qpos=jnp.int32(state.physics.qpos))
    return state._replace(physics=physics), transition


def explodes(state, ctrl):
  position = jnp.where(ctrl > 0.999, jnp.nan, state.qpos)
  return state._replace(qpos=position)
