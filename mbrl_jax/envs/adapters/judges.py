"""Fills in rewards and terminations that an adapted environment does not show as functions."""

from __future__ import annotations

from collections.abc import Callable

from mbrl_jax.ops.judge import Missing, Unknown
from mbrl_jax.types import Array

Judge = Callable[[Array, Array, Array], Array]
"""``(obs [O], action [A], next_obs [O]) -> []``."""
_FILE = "Programs take a Python file that does so: --env=file.py:name."


def reward(given: Judge | None, example: str) -> Judge:
  """Returns the user's reward, or what tells to give one; ``example``: ``from_x(id``."""
  if given is not None:
    return given
  return Missing(
    "planning over a learned model needs the reward as a function, which the environment keeps "
    f"to itself: pass one, {_call(example, 'reward=fn')}. {_FILE}"
  )


def terminated(given: Judge | None, example: str) -> Judge:
  """Returns the user's termination, or what says never and whom to tell of it."""
  if given is not None:
    return given
  return Unknown(
    "learning from what a model imagines needs to know where an episode terminates, as a "
    "function, which the environment keeps to itself: pass one, "
    f"{_call(example, 'terminated=fn')}, or mbrl_jax.never if none does. {_FILE}"
  )


def _call(example: str, argument: str) -> str:
  return f"{example}, {argument}), where fn(obs, action, next_obs) -> [] is pure, in jax.numpy"
