"""Placeholders for missing reward and termination functions."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

import jax.numpy as jnp

from mbrl_jax.types import Array

_Function = TypeVar("_Function")


class MissingReward:
  """Placeholder for a reward function that is not available; raises when called.

  Attributes:
    message: error text that explains how to supply the function.
  """

  def __init__(self, message: str):
    self.message = message

  def __call__(self, obs: Any, action: Any, next_obs: Any) -> NoReturn:
    """Raises the error.

    Raises:
      ValueError: always.
    """
    raise ValueError(self.message)


class MissingTermination:
  """Placeholder for a termination function that is not available; never terminates.

  A planner may plan past the end of an episode then; learning from model rollouts must not
  accept it, see ``require_known``.

  Attributes:
    message: error text that explains how to supply the function.
  """

  def __init__(self, message: str):
    self.message = message

  def __call__(self, obs: Any, action: Any, next_obs: Any) -> Array:
    """Returns false."""
    del obs, action, next_obs
    return jnp.zeros((), bool)


def require_known(function: _Function) -> _Function:
  """Returns a reward or termination function; rejects placeholders.

  Call it at construction, so that the error does not wait for the first step.

  Raises:
    ValueError: it is ``MissingReward`` or ``MissingTermination``; explains how to supply one.

  Example:
    >>> require_known(MissingReward("pass reward=fn"))
    Traceback (most recent call last):
    ValueError: pass reward=fn
  """
  if isinstance(function, (MissingReward, MissingTermination)):
    raise ValueError(function.message)
  return function
