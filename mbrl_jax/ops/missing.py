"""Stands in for rewards and terminations that nobody has given as functions."""

from __future__ import annotations

from typing import Any, NoReturn

import jax.numpy as jnp

from mbrl_jax.types import Array


class MissingReward:
  """A reward function that is not known; to call it is an error that says what to do.

  Attributes:
    message: what to tell whoever needs it.
  """

  def __init__(self, message: str):
    self.message = message

  def __call__(self, obs: Any, action: Any, next_obs: Any) -> NoReturn:
    """Refuses.

    Raises:
      ValueError: always.
    """
    raise ValueError(self.message)


class MissingTermination:
  """A termination function that is not known: it says that no transition terminates.

  A planner goes on behind the end of an episode then; who learns from what a model imagines
  must not, see ``require_known``.

  Attributes:
    message: what to tell whoever needs it.
  """

  def __init__(self, message: str):
    self.message = message

  def __call__(self, obs: Any, action: Any, next_obs: Any) -> Array:
    """Returns false."""
    del obs, action, next_obs
    return jnp.zeros((), bool)


def require_known(function: Any) -> Any:
  """Returns a reward or termination, checked at construction instead of at the first step.

  Raises:
    ValueError: it is ``MissingReward`` or ``MissingTermination``; says how to give one.
  """
  if isinstance(function, (MissingReward, MissingTermination)):
    raise ValueError(function.message)
  return function
