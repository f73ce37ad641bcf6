"""Fills in rewards and terminations that an adapted environment does not show as functions."""

from __future__ import annotations

from collections.abc import Callable

from mbrl_jax.envs.task import never
from mbrl_jax.ops.judge import Missing
from mbrl_jax.types import Array

Judge = Callable[[Array, Array, Array], Array]
"""``(obs [O], action [A], next_obs [O]) -> []``."""


def reward(given: Judge | None, example: str) -> Judge:
  """Returns the user's reward, or what tells to give one as in ``example``."""
  if given is not None:
    return given
  return Missing(
    "planning over a learned model needs the reward as a function, which the environment keeps "
    f"to itself: pass one, {example}, where fn(obs, action, next_obs) -> [] is pure, in "
    "jax.numpy. Programs take a Python file that does so: --env=file.py:name."
  )


def terminated(given: Judge | None) -> Judge:
  """Returns the user's termination, or what never terminates."""
  return never if given is None else given
