"""Fills in rewards and terminations that an adapted environment does not show as functions."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from mbrl_jax.ops.missing import MissingReward, MissingTermination
from mbrl_jax.types import RewardFn, TerminationFn

_FILE = "Programs take a Python file that does so: --env=file.py:name."


def reward(given: RewardFn | None, example: str, obs_dim: int, action_dim: int) -> RewardFn:
  """Returns the user's reward, or what tells to give one; ``example``: ``from_x(id``.

  Raises:
    ValueError: it does not return one number.
  """
  if given is not None:
    return _checked("reward", given, np.number, obs_dim, action_dim)
  return MissingReward(
    "planning over a learned model needs the reward as a function, which the environment keeps "
    f"to itself: pass one, {_call(example, 'reward=fn')}. {_FILE}"
  )


def terminated(
  given: TerminationFn | None, example: str, obs_dim: int, action_dim: int
) -> TerminationFn:
  """Returns the user's termination, or what says never and whom to tell of it.

  Raises:
    ValueError: it does not return one bool.
  """
  if given is not None:
    return _checked("terminated", given, np.bool_, obs_dim, action_dim)
  return MissingTermination(
    "learning from what a model imagines needs to know where an episode terminates, as a "
    "function, which the environment keeps to itself: pass one, "
    f"{_call(example, 'terminated=fn')}, or mbrl_jax.never if none does. {_FILE}"
  )


def _checked(name: str, given: RewardFn, kind: type, obs_dim: int, action_dim: int) -> RewardFn:
  obs, action = (jax.ShapeDtypeStruct((n,), np.float32) for n in (obs_dim, action_dim))
  found: Any = jax.eval_shape(given, obs, action, obs)
  shape, dtype = getattr(found, "shape", None), getattr(found, "dtype", np.void)
  if shape != () or not np.issubdtype(dtype, kind):
    what = "bool" if kind is np.bool_ else "number"
    raise ValueError(
      f"{name}(obs, action, next_obs) must return one {what}, [], and returns "
      f"{found if shape is None else f'{dtype} {list(shape)}'}."
    )
  return given


def _call(example: str, argument: str) -> str:
  return f"{example}, {argument}), where fn(obs, action, next_obs) -> [] is pure, in jax.numpy"
