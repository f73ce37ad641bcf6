"""Checks reward and termination functions of adapted environments, or adds placeholders."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from mbrl_jax.ops.missing import MissingReward, MissingTermination
from mbrl_jax.types import RewardFn, TerminationFn

_FILE = "For a program, do so in a Python file: --env=file.py:name."


def reward(given: RewardFn | None, example: str, obs_dim: int, action_dim: int) -> RewardFn:
  """Returns the user's reward function, or a placeholder that asks for one.

  Args:
    given: the user's function or ``None``.
    example: the user's call up to its first argument, such as ``from_brax('ant'``.
    obs_dim, action_dim: ``O`` and ``A``.

  Raises:
    ValueError: it does not return one number.
  """
  if given is not None:
    return _checked("reward", given, np.number, obs_dim, action_dim)
  return MissingReward(
    "planning over a learned model needs the reward as a function, which the environment does "
    f"not provide: pass one, {_call(example, 'reward=fn')}. {_FILE}"
  )


def terminated(
  given: TerminationFn | None, example: str, obs_dim: int, action_dim: int
) -> TerminationFn:
  """Returns the user's termination function, or a placeholder that returns False.

  The arguments are those of ``reward``.

  Raises:
    ValueError: it does not return one bool.
  """
  if given is not None:
    return _checked("terminated", given, np.bool_, obs_dim, action_dim)
  return MissingTermination(
    "learning from model rollouts needs the termination as a function, which the environment "
    f"does not provide: pass one, {_call(example, 'terminated=fn')}, or mbrl_jax.never if "
    f"episodes never terminate. {_FILE}"
  )


def _checked(
  name: str, function: RewardFn, kind: type, obs_dim: int, action_dim: int
) -> RewardFn:
  """Returns ``function`` if it returns one value of ``kind``."""
  obs, action = (jax.ShapeDtypeStruct((n,), np.float32) for n in (obs_dim, action_dim))
  found: Any = jax.eval_shape(function, obs, action, obs)
  shape, dtype = getattr(found, "shape", None), getattr(found, "dtype", np.void)
  if shape != () or not np.issubdtype(dtype, kind):
    what = "bool" if kind is np.bool_ else "number"
    raise ValueError(
      f"{name}(obs, action, next_obs) must return one {what}, [], got "
      f"{found if shape is None else f'{dtype} {list(shape)}'}."
    )
  return function


def _call(example: str, argument: str) -> str:
  return f"{example}, {argument}), where fn(obs, action, next_obs) -> [] is pure, in jax.numpy"
