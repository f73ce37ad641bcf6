"""Tasks and what happens in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from mbrl_jax.types.arrays import Array, Key

RewardFn = Callable[[Array, Array, Array], Array]
"""``(obs [O], action [A], next_obs [O]) -> []``."""
TerminationFn = Callable[[Array, Array, Array], Array]
"""``(obs [O], action [A], next_obs [O]) -> [] bool``."""


def _identity(obs: Array) -> Array:
  return obs


def _delta(obs: Array, next_obs: Array) -> Array:
  return next_obs - obs


def _add(obs: Array, target: Array) -> Array:
  return obs + target


class EnvSpec(NamedTuple):
  """What learners and planners may know of a task, all pure functions and shapes.

  Attributes:
    name: registered name.
    obs_dim: ``O``.
    action_low, action_high: bounds ``[A]`` (numpy float32).
    dt: seconds of one control step.
    episode_length: control steps after which an episode is truncated.
    reward: ``(obs [O], action [A], next_obs [O]) -> []``.
    terminated: ``(obs, action, next_obs) -> [] bool``.
    encode: observation -> features that a learned model is given.
    target: ``(obs, next_obs) -> `` what a learned model predicts, ``[O]``.
    decode: ``(obs, target) -> next_obs``, the inverse of ``target``.
    cost: ``(obs, action, next_obs) -> []``, what a safe planner keeps within a limit, apart
      from the reward; None: there is none.
    full_length: whether every episode takes ``episode_length`` steps; False: not known.
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

  @property
  def action_dim(self) -> int:
    """``A``."""
    return len(self.action_low)


class EnvState(NamedTuple):
  """State of one environment.

  Attributes:
    physics: whatever the physics needs, a pytree of arrays.
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
    action: ``[A]`` as the agent chose it.
    reward: ``[]``.
    next_obs: ``[O]`` observed after the step and BEFORE any automatic reset.
    terminated: ``[]`` bool, the task ended (no value after it).
    truncated: ``[]`` bool, the time limit was hit (value goes on).
  """

  obs: Array
  action: Array
  reward: Array
  next_obs: Array
  terminated: Array
  truncated: Array


class Env(Protocol):
  """A task with its physics, as pure functions.

  Nothing resets by itself: whoever steps decides when to call ``reset``. One may have a
  method ``restart`` besides, see ``envs.restart``.
  """

  @property
  def spec(self) -> EnvSpec:
    """Returns the static description of the task."""

  def reset(self, key: Key) -> EnvState:
    """Draws an initial state."""

  def step(self, state: EnvState, action: Array, key: Key) -> tuple[EnvState, Transition]:
    """Takes one control step of ``spec.dt`` seconds."""

  def observe(self, physics: Any) -> Array:
    """Observation ``[O]`` of a physics state."""

  def pose(self, state: EnvState) -> Array:
    """The configuration ``[Q]`` that a renderer needs to draw ``state``."""
