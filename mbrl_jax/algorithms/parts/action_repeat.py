"""Actions that are held for several environment steps, as one step of a learned model.

The learner sees one transition for each action, from the observation before its first
environment step to that after its last, with the sum of the rewards. Reward and termination of
the task are functions of single environment steps. For the whole they are evaluated along the
straight line between both observations: exact for rewards of differences, such as the distance
covered, and for those of the action, otherwise second order in the length of the step.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.gaussian_actor import Acting
from mbrl_jax.types import Array, RewardFn, TerminationFn, Transition


class OpenAction(NamedTuple):
  """What the environments have done with the actions that they still hold.

  Attributes:
    obs: before the first step, ``[N, O]``.
    reward: so far, ``[N]``.
  """

  obs: Array
  reward: Array


def no_open_actions(envs: int, obs_dim: int) -> OpenAction:
  """Returns the state before the first step."""
  return OpenAction(jnp.zeros((envs, obs_dim)), jnp.zeros(envs))


def close_actions(
  opened: OpenAction, carry: Acting, transitions: Transition, repeat: int
) -> tuple[OpenAction, Transition, Array]:
  """Adds one environment step to the actions held.

  Args:
    opened: see its class.
    carry: after the action, leaves ``[N, ...]``.
    transitions: of the environment step, leaves ``[N, ...]``.
    repeat: environment steps for which an action is held.

  Returns:
    The new state, the transitions of whole actions as sampled, and ``[N]`` bool, which of them
    are complete: the action is over, or the episode.
  """
  first = carry.left == repeat - 1
  obs = jnp.where(first[:, None], transitions.obs, opened.obs)
  reward = jnp.where(first, 0.0, opened.reward) + transitions.reward
  complete = (carry.left == 0) | transitions.terminated | transitions.truncated
  whole = transitions._replace(obs=obs, action=carry.sampled, reward=reward)
  return OpenAction(obs, reward), whole, complete


def repeated_reward(reward: RewardFn, repeat: int) -> RewardFn:
  """Returns the reward of an action held for ``repeat`` steps.

  Example:
    >>> speed = lambda obs, action, next_obs: (next_obs - obs).sum() / 0.5
    >>> both = repeated_reward(speed, 2)
    >>> float(both(jnp.zeros(1), jnp.zeros(1), jnp.ones(1)))  # 1 m in two steps of 0.5 s
    2.0
  """
  if repeat == 1:
    return reward

  def total(obs: Array, action: Array, next_obs: Array) -> Array:
    points = _line(obs, next_obs, repeat)
    return jax.vmap(reward, (0, None, 0))(points[:-1], action, points[1:]).sum()

  return total


def repeated_termination(terminated: TerminationFn, repeat: int) -> TerminationFn:
  """Returns the termination of an action held for ``repeat`` steps."""
  if repeat == 1:
    return terminated

  def ended(obs: Array, action: Array, next_obs: Array) -> Array:
    points = _line(obs, next_obs, repeat)
    return jax.vmap(terminated, (0, None, 0))(points[:-1], action, points[1:]).any()

  return ended


def _line(obs: Array, next_obs: Array, repeat: int) -> Array:
  """Returns the points ``[repeat + 1, O]`` from one observation to the next."""
  share = jnp.arange(repeat + 1, dtype=jnp.float32)[:, None] / repeat
  return obs + share * (next_obs - obs)
