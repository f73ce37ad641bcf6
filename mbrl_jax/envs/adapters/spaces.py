"""Turns the spaces of Gymnasium into arrays and back, on the host.

Spaces are recognised by what they have (``low`` and ``high``, ``n``, ``spaces``), so that
whatever follows Gymnasium's protocol will do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mbrl_jax.ops import validate

DISCRETE = ("one_hot", "index")


class Actions(NamedTuple):
  """A space of actions as a box ``[A]``.

  Attributes:
    low, high: its bounds ``[A]`` (float32).
    decode: ``(action [A] within the bounds) ->`` what the environment takes.
  """

  low: np.ndarray
  high: np.ndarray
  decode: Callable[[np.ndarray], Any]


def actions(space: Any, discrete: str) -> Actions:
  """Describes a space of actions.

  Args:
    space: a bounded ``Box`` of any shape, or ``Discrete``.
    discrete: how a choice among ``n`` is written: ``"one_hot"``, n numbers of which the
      largest wins, or ``"index"``, one number that is rounded.

  Raises:
    ValueError: another kind of space, or one without finite bounds.
  """
  validate.choice("discrete", discrete, DISCRETE)
  if hasattr(space, "low") and hasattr(space, "high"):
    return _box(space)
  if not _is_discrete(space):
    raise ValueError(f"the action space must be a Box or Discrete, got {space}.")
  n, start = int(space.n), int(getattr(space, "start", 0))
  if discrete == "index":
    pick = lambda action: start + int(np.clip(np.rint(action[0]), 0, n - 1))
    return Actions(np.zeros(1, np.float32), np.float32([n - 1]), pick)
  pick = lambda action: start + int(np.argmax(action))
  return Actions(np.zeros(n, np.float32), np.ones(n, np.float32), pick)


def _box(space: Any) -> Actions:
  low, high = (np.float32(bound).reshape(-1) for bound in (space.low, space.high))
  if not (np.isfinite(low) & np.isfinite(high)).all():
    raise ValueError(
      f"the action space must have finite bounds, got {space}; wrap the environment in "
      "gymnasium.wrappers.RescaleAction or ClipAction."
    )
  shape, kind = np.shape(space.low), getattr(space, "dtype", np.float32)
  return Actions(
    low, high, lambda action: np.clip(action, low, high).reshape(shape).astype(kind)
  )


def _is_discrete(space: Any) -> bool:
  return hasattr(space, "n") and not getattr(space, "shape", ())


def flatten(space: Any, value: Any) -> np.ndarray:
  """Lays an observation out as one vector ``[O]`` (float32).

  Dictionaries and tuples are laid out part by part, in the order of the space; a choice
  among ``n`` becomes n numbers, one of them 1.
  """
  parts = getattr(space, "spaces", None)
  if parts is not None:
    pairs = (
      [(part, value[name]) for name, part in parts.items()]
      if isinstance(parts, Mapping)
      else zip(parts, value, strict=True)
    )
    return np.concatenate([np.zeros(0, np.float32), *(flatten(*pair) for pair in pairs)])
  if _is_discrete(space):
    return np.eye(int(space.n), dtype=np.float32)[int(value) - int(getattr(space, "start", 0))]
  return np.array(value, np.float32).reshape(-1)
