"""Checks what an environment's ``reset`` and ``step`` return against Gymnasium's protocol."""

from __future__ import annotations

from typing import Any, NamedTuple, SupportsFloat

import numpy as np

from mbrl_jax.ops.env_failure import ProtocolError


class StepResult(NamedTuple):
  """What a step returns.

  Attributes:
    obs: observation, an element of the environment's space.
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
    ProtocolError: it is not a pair.
  """
  obs, _ = _parts(returned, ("obs", "info"))
  return obs


def read_step(returned: Any) -> StepResult:
  """Checks what ``step`` returned; arrays of one element count as numbers.

  Raises:
    ProtocolError: not five values, a reward that is not one number, a flag that is not a
      truth value.
  """
  obs, reward, *ends, _ = _parts(returned, ("obs", "reward", "terminated", "truncated", "info"))
  number = _single_element(reward)
  if not isinstance(number, SupportsFloat):  # strings are not, decimals are
    raise ProtocolError(reward, "one number", "reward")
  for name, end in zip(("terminated", "truncated"), ends, strict=True):
    if _single_element(end) not in (0, 1):
      raise ProtocolError(end, "True or False", name)
  return StepResult(obs, float(number), *(bool(_single_element(end)) for end in ends))


def _parts(returned: Any, names: tuple[str, ...]) -> Any:
  """Returns the parts of a tuple or list; a bare array (an observation) is refused."""
  if not isinstance(returned, (tuple, list)) or len(returned) != len(names):
    raise ProtocolError(returned, f"({', '.join(names)})")
  return returned


def _single_element(value: Any) -> Any:
  """Returns the only element of an array, ``None`` if there are several."""
  array = np.asarray(value)
  return array.item() if array.size == 1 else None
