"""Turns the spaces of Gymnasium into arrays and back, on the host.

Spaces are recognised by what they have (``low`` and ``high``, ``n``, ``spaces``), so that
whatever follows Gymnasium's protocol will do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mbrl_jax.ops import validate
from mbrl_jax.ops.env_failure import Malformed

DISCRETE = ("one_hot", "index")
_WHOLE = 2**24  # float32 holds every integer up to it


class Actions(NamedTuple):
  """A space of actions as a box ``[A]``.

  Attributes:
    low, high: its bounds ``[A]`` (float32).
    decode: ``(action [A]) ->`` what the environment takes: the element of its space that is
      nearest to the action, one in the middle of a box in place of NaN.
  """

  low: np.ndarray
  high: np.ndarray
  decode: Callable[[np.ndarray], Any]


def actions(space: Any, discrete: str, low: Any = None, high: Any = None) -> Actions:
  """Describes a space of actions.

  Args:
    space: a ``Box`` of any shape and type, or ``Discrete``. Integers are the nearest ones.
    discrete: how a choice among ``n`` is written: ``"one_hot"``, n numbers of which the
      largest wins, or ``"index"``, one number that is rounded.
    low, high: bounds of a ``Box`` to keep within, one number or an array of its shape; by
      default its own.

  Raises:
    ValueError: another kind of space, one without finite bounds, integers that float32
      cannot tell apart, bounds that are not within the space's.
  """
  validate.choice("discrete", discrete, DISCRETE)
  if hasattr(space, "low") and hasattr(space, "high"):
    return _box(space, low, high)
  if not _is_discrete(space):
    raise ValueError(f"the action space must be a Box or Discrete, got {space}.")
  if low is not None or high is not None:
    raise ValueError(f"action_low and action_high are for a Box, not for {space}.")
  n, start = int(space.n), int(getattr(space, "start", 0))
  if discrete == "index":
    _require_whole(n - 1, space, "wrap the environment.")
    pick = lambda action: start + int(np.nan_to_num(np.clip(np.rint(action[0]), 0, n - 1)))
    return Actions(np.zeros(1, np.float32), np.float32([n - 1]), pick)
  pick = lambda action: start + int(np.argmax(action))
  return Actions(np.zeros(n, np.float32), np.ones(n, np.float32), pick)


def _box(space: Any, low: Any, high: Any) -> Actions:
  kind = np.dtype(getattr(space, "dtype", np.float32))
  least, most = np.asarray(space.low, kind), np.asarray(space.high, kind)
  if not least.size:
    raise ValueError(f"the action space must hold at least one number, got {space}.")
  whole = kind.kind != "f"
  low, high = _bounds(space, least, most, low, high, whole)
  lowest, highest = low.astype(kind), high.astype(kind)
  if whole:
    hint = "give bounds within that, action_low= and action_high=, or wrap the environment."
    _require_whole(max(-int(low.min()), int(high.max())), space, hint)
  with np.errstate(over="ignore"):
    low, high = np.float32(low).reshape(-1), np.float32(high).reshape(-1)
  if not (np.isfinite(low) & np.isfinite(high)).all():
    raise ValueError(
      f"the action space must have finite bounds, got {space}: give some within it, as in "
      "action_low=-1, action_high=1 (gymnasium.wrappers.RescaleAction takes no infinite ones)."
    )

  def decode(action: np.ndarray) -> np.ndarray:
    action = np.where(np.isnan(action), low / 2 + high / 2, action)
    action = np.clip(action, low, high)
    native = (np.rint(action) if whole else action).astype(kind).reshape(least.shape)
    # A float64 bound that float32 rounds away from zero lies outside of itself.
    return np.asarray(np.minimum(np.maximum(native, lowest), highest))

  return Actions(low, high, decode)


def _bounds(
  space: Any, least: Any, most: Any, low: Any, high: Any, whole: bool
) -> tuple[Any, Any]:
  """Returns the bounds that are asked for, by default the space's, of its shape.

  Those of a ``whole`` space are the outermost integers within what is asked for.
  """
  low = least if low is None else bound("action_low", low, least.shape)
  high = most if high is None else bound("action_high", high, most.shape)
  inside = (np.ceil(low), np.floor(high)) if whole else (low, high)
  if not ((least <= low) & (inside[0] <= inside[1]) & (high <= most)).all():
    between = ", with an integer between them" if whole else ""
    text = f"must be below {{}} and both within {space}{between}."
    raise validate.ArgumentError(
      "action_low", low.tolist(), text, ("action_high", high.tolist())
    )
  return inside


def bound(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
  """Returns a bound that the user gave, one number or an array, as float64 of ``shape``.

  Raises:
    ValueError: it is neither; ``name`` says which.
  """
  try:
    return np.broadcast_to(np.asarray(value, np.float64), shape)
  except (TypeError, ValueError):
    text = f"must be one number or an array of shape {list(shape)}."
    raise validate.ArgumentError(name, value, text) from None


def _require_whole(largest: int, space: Any, hint: str) -> None:
  """Refuses integers that float32 rounds."""
  if largest > _WHOLE:
    raise ValueError(
      f"the action space {space} has integers beyond {_WHOLE:,}, which float32 cannot tell "
      f"apart: {hint}"
    )


def _is_discrete(space: Any) -> bool:
  return hasattr(space, "n") and not getattr(space, "shape", ())


def size(space: Any) -> int:
  """Returns how many numbers an observation of a space is as a vector, ``O``.

  Raises:
    ValueError: a space without a fixed shape (Text, Sequence, Graph, OneOf), or none.
  """
  parts = getattr(space, "spaces", None)
  if type(space).__name__ == "OneOf" or (parts is None and _shape(space) is None):
    raise ValueError(
      f"the observation space must be made of Box, Discrete, MultiBinary, MultiDiscrete, Dict "
      f"and Tuple, whose observations are always as many numbers, got {space}: wrap the "
      "environment in gymnasium.wrappers.TransformObservation."
    )
  if parts is not None:
    return sum(size(part) for part in _values(parts))
  return int(space.n) if _is_discrete(space) else int(np.prod(_shape(space)))


def flatten(space: Any, value: Any, name: str = "observation") -> np.ndarray:
  """Lays an observation out as one vector ``[O]`` (float32).

  Dictionaries and tuples are laid out part by part, in the order of the space; a choice
  among ``n`` becomes n numbers, one of them 1. Types are converted, and axes of length one
  may be missing or too many.

  Args:
    space: of the observation.
    value: the observation.
    name: of the observation or of a part of it, for messages.

  Raises:
    Malformed: the value has another structure, shape or kind than the space.
  """
  parts = getattr(space, "spaces", None)
  if parts is not None:
    flat = [
      flatten(part, value[key], f"{name}[{key!r}]")
      for key, part in _items(space, parts, value, name)
    ]
    return np.concatenate([np.zeros(0, np.float32), *flat])
  try:
    array = np.asarray(value)
  except ValueError:  # ragged
    array = np.asarray(None)
  wanted = _shape(space)
  squeezed = lambda shape: [length for length in shape if length != 1]
  if array.dtype.kind not in "biuf" or squeezed(array.shape) != squeezed(wanted):
    raise Malformed(value, f"numbers of shape {list(wanted)}", name)
  if not _is_discrete(space):
    return np.array(array, np.float32).reshape(-1)
  n, start = int(space.n), int(getattr(space, "start", 0))
  index = array.item() - start
  if index not in range(n):
    raise Malformed(value, f"an integer from {start} to {start + n - 1}", name)
  flat = np.zeros(n, np.float32)
  flat[int(index)] = 1
  return flat


def _items(space: Any, parts: Any, value: Any, name: str) -> list[tuple[Any, Any]]:
  """Returns keys and spaces of the parts of a value that has all of them."""
  if isinstance(parts, Mapping):
    if not (isinstance(value, Mapping) and all(key in value for key in parts)):
      raise Malformed(value, f"a dictionary of {', '.join(map(repr, parts))}", name)
    return list(parts.items())
  if not (isinstance(value, (tuple, list)) and len(value) == len(parts)):
    raise Malformed(value, f"a tuple of {len(parts)}", name)
  return list(enumerate(parts))


def _values(parts: Any) -> list[Any]:
  return list(parts.values() if isinstance(parts, Mapping) else parts)


def _shape(space: Any) -> tuple[int, ...] | None:
  """Returns the shape of an observation; those of ``Discrete`` are single numbers."""
  return () if _is_discrete(space) else getattr(space, "shape", None)
