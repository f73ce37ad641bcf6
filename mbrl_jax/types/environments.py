"""Environments, their specifications and transitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from mbrl_jax.types.arrays import Array, Key

RewardFn = Callable[[Array, Array, Array], Array]
"""Reward or cost, ``(obs [O], action [A], next_obs [O]) -> []``."""
TerminationFn = Callable[[Array, Array, Array], Array]
"""Termination, ``(obs [O], action [A], next_obs [O]) -> [] bool``."""


def _identity(obs: Array) -> Array:
  return obs


def _delta(obs: Array, next_obs: Array) -> Array:
  return next_obs - obs


def _add(obs: Array, target: Array) -> Array:
  return obs + target


class Success(NamedTuple):
  """When an episode is a success.

  Attributes:
    solved: ``(obs [O]) -> [] bool``, whether the task is solved in what is observed after a
      step; False for NaN.
    steps: solved steps that make a success, at least 1.
    last: counts solved steps only among the last so many of the episode; 0: all of it.

  Example:
    >>> at_the_end = Success(lambda obs: obs[0] > 0.9, last=1)
    >>> for_a_second = Success(lambda obs: obs[0] > 0.9, steps=50)
  """

  solved: Callable[[Array], Array]
  steps: int = 1
  last: int = 0


class EnvSpec(NamedTuple):
  """Task specification for learners and planners: shapes and pure functions.

  Attributes:
    name: registered name.
    obs_dim: ``O``.
    action_low, action_high: bounds ``[A]`` (numpy float32).
    dt: seconds of one control step.
    episode_length: control steps after which an episode is truncated.
    reward: ``(obs [O], action [A], next_obs [O]) -> []``.
    terminated: ``(obs, action, next_obs) -> [] bool``.
    encode: observation -> input features of a learned model.
    target: ``(obs, next_obs) -> [O]``, the prediction target of a learned model.
    decode: ``(obs, target) -> next_obs``, the inverse of ``target``.
    cost: ``(obs, action, next_obs) -> []``, the constraint cost of safe planning, separate
      from the reward; None: no cost.
    full_length: whether every episode takes ``episode_length`` steps; False: unknown.
    success: when an episode is a success; None: the task does not define it.
  """

  name: str
  obs_dim: int
  action_low: Any
  action_high: Any
  dt: float
  episode_length: int
  reward: RewardFn
  terminated: TerminationFn
  encode: Callable[[Array], Array] = _identity
  target: Callable[[Array, Array], Array] = _delta
  decode: Callable[[Array, Array], Array] = _add
  cost: RewardFn | None = None
  full_length: bool = False
  success: Success | None = None

  @property
  def action_dim(self) -> int:
    """``A``."""
    return len(self.action_low)


class EnvState(NamedTuple):
  """State of one environment.

  Attributes:
    physics: state of the physics engine, a pytree of arrays.
    obs: current observation ``[O]``.
    steps: control steps since the reset, ``[]`` int32.
  """

  physics: Any
  obs: Array
  steps: Array


class Transition(NamedTuple):
  """One control step.

  Attributes:
    obs: ``[O]`` before the step.
    action: ``[A]`` as chosen by the agent.
    reward: ``[]``.
    next_obs: ``[O]`` observed after the step and BEFORE any automatic reset.
    terminated: ``[]`` bool, the task ended (do not bootstrap).
    truncated: ``[]`` bool, the time limit was reached (bootstrap from ``next_obs``).
  """

  obs: Array
  action: Array
  reward: Array
  next_obs: Array
  terminated: Array
  truncated: Array


class Env(Protocol):
  """A task and its physics as pure functions.

  Environments never auto-reset; the caller does. An environment may also define a method
  ``restart``, see ``envs.restart``.
  """

  @property
  def spec(self) -> EnvSpec:
    """Returns the static description of the task."""

  def reset(self, key: Key) -> EnvState:
    """Draws an initial state."""

  def step(self, state: EnvState, action: Array, key: Key) -> tuple[EnvState, Transition]:
    """Takes one control step of ``spec.dt`` seconds."""

  def observe(self, physics: Any) -> Array:
    """Returns the observation ``[O]`` of a physics state."""

  def pose(self, state: EnvState) -> Array:
    """Returns the configuration ``[Q]`` that a renderer needs to draw ``state``."""
