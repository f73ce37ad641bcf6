"""Reads what the methods of Gymnasium's protocol return, or says what is wrong with it."""

from __future__ import annotations

from typing import Any, NamedTuple, SupportsFloat

import numpy as np

from mbrl_jax.ops.env_failure import Malformed


class StepResult(NamedTuple):
  """What a step returns.

  Attributes:
    obs: the observation, as the environment's space describes it.
    reward: one number.
    terminated, truncated: whether, and how, the episode is over.
  """

  obs: Any
  reward: float
  terminated: bool
  truncated: bool


def read_reset(returned: Any) -> Any:
  """Returns the observation of what ``reset`` returned.

  Raises:
    Malformed: it is no pair.
  """
  obs, _ = _parts(returned, ("obs", "info"))
  return obs


def read_step(returned: Any) -> StepResult:
  """Checks what ``step`` returned; arrays of one element count as numbers.

  Raises:
    Malformed: not five things, no number for a reward, no truth value for an end.
  """
  obs, reward, *ends, _ = _parts(returned, ("obs", "reward", "terminated", "truncated", "info"))
  number = _only(reward)
  if not isinstance(number, SupportsFloat):  # strings are not, decimals are
    raise Malformed(reward, "one number", "reward")
  for name, end in zip(("terminated", "truncated"), ends, strict=True):
    if _only(end) not in (0, 1):
      raise Malformed(end, "True or False", name)
  return StepResult(obs, float(number), *(bool(_only(end)) for end in ends))


def _parts(returned: Any, names: tuple[str, ...]) -> Any:
  """Returns the parts of a tuple; an observation alone must not be taken for one."""
  if not isinstance(returned, (tuple, list)) or len(returned) != len(names):
    raise Malformed(returned, f"({', '.join(names)})")
  return returned


def _only(value: Any) -> Any:
  """Returns the only element of an array, ``None`` if there are several."""
  array = np.asarray(value)
  return array.item() if array.size == 1 else None
