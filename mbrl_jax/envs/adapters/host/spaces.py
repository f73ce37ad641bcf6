"""Converts between Gymnasium's spaces and flat arrays, on the host.

Spaces are recognised by their attributes (``low`` and ``high``, ``n``, ``spaces``), so that
Gymnasium itself is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mbrl_jax.ops import validate
from mbrl_jax.ops.env_failure import ProtocolError

DISCRETE = ("one_hot", "index")
_LARGEST_EXACT = 2**24  # float32 holds every integer up to it


class ActionBox(NamedTuple):
  """An action space as a box ``[A]``.

  Attributes:
    low, high: its bounds ``[A]`` (float32).
    decode: ``(action [A]) ->`` the nearest element of the environment's space; NaN becomes the
      middle of the box.
  """

  low: np.ndarray
  high: np.ndarray
  decode: Callable[[np.ndarray], Any]


def action_box(space: Any, discrete: str, low: Any = None, high: Any = None) -> ActionBox:
  """Describes an action space as a box.

  Args:
    space: a ``Box`` of any shape and type, or ``Discrete``. Actions of an integer box are
      rounded.
    discrete: encoding of a choice among ``n``: ``"one_hot"``, n numbers of which the largest
      wins, or ``"index"``, one number that is rounded.
    low, high: narrower bounds of a ``Box``, one number or an array of its shape; by default
      its own.

  Raises:
    ValueError: another kind of space, one without finite bounds, integers that float32
      cannot represent exactly, bounds that are not within the space's.
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
    _require_exact(n - 1, space, "wrap the environment.")
    pick = lambda action: start + int(np.nan_to_num(np.clip(np.rint(action[0]), 0, n - 1)))
    return ActionBox(np.zeros(1, np.float32), np.array([n - 1], np.float32), pick)
  pick = lambda action: start + int(np.argmax(action))
  return ActionBox(np.zeros(n, np.float32), np.ones(n, np.float32), pick)


def _box(space: Any, low: Any, high: Any) -> ActionBox:
  """Describes a ``Box``."""
  dtype = np.dtype(getattr(space, "dtype", np.float32))
  space_low, space_high = np.asarray(space.low, dtype), np.asarray(space.high, dtype)
  if not space_low.size:
    raise ValueError(f"the action space must hold at least one number, got {space}.")
  integer = dtype.kind != "f"
  low, high = _bounds(space, space_low, space_high, low, high, integer)
  lowest, highest = low.astype(dtype), high.astype(dtype)
  if integer:
    hint = "pass bounds within that, action_low= and action_high=, or wrap the environment."
    _require_exact(max(-int(low.min()), int(high.max())), space, hint)
  with np.errstate(over="ignore"):
    low, high = np.array(low, np.float32).reshape(-1), np.array(high, np.float32).reshape(-1)
  if not (np.isfinite(low) & np.isfinite(high)).all():
    raise ValueError(
      f"the action space must have finite bounds, got {space}: pass bounds within it, such as "
      "action_low=-1, action_high=1 (gymnasium.wrappers.RescaleAction refuses infinite ones)."
    )

  def decode(action: np.ndarray) -> np.ndarray:
    action = np.where(np.isnan(action), low / 2 + high / 2, action)
    action = np.clip(action, low, high)
    native = (np.rint(action) if integer else action).astype(dtype).reshape(space_low.shape)
    # float32 may round a float64 bound away from zero, out of the space.
    return np.asarray(np.minimum(np.maximum(native, lowest), highest))

  return ActionBox(low, high, decode)


def _bounds(
  space: Any, space_low: np.ndarray, space_high: np.ndarray, low: Any, high: Any, integer: bool
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the requested bounds, by default the space's, in its shape.

  Bounds of an ``integer`` space are the outermost integers within the requested ones.
  """
  low = space_low if low is None else bound("action_low", low, space_low.shape)
  high = space_high if high is None else bound("action_high", high, space_high.shape)
  inside = (np.ceil(low), np.floor(high)) if integer else (low, high)
  if not ((space_low <= low) & (inside[0] <= inside[1]) & (high <= space_high)).all():
    between = ", with an integer between them" if integer else ""
    text = f"must be below {{}} and both within {space}{between}."
    raise validate.ArgumentError(
      "action_low", low.tolist(), text, ("action_high", high.tolist())
    )
  return inside


def bound(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
  """Broadcasts a user's bound, one number or an array, to ``shape`` (float64).

  Raises:
    ValueError: it is neither; names the argument, ``name``.
  """
  try:
    return np.broadcast_to(np.asarray(value, np.float64), shape)
  except (TypeError, ValueError):
    text = f"must be one number or an array of shape {list(shape)}."
    raise validate.ArgumentError(name, value, text) from None


def _require_exact(largest: int, space: Any, hint: str) -> None:
  """Refuses integers that float32 rounds."""
  if largest > _LARGEST_EXACT:
    raise ValueError(
      f"the action space {space} has integers beyond {_LARGEST_EXACT:,}, which float32 cannot "
      f"represent exactly: {hint}"
    )


def _is_discrete(space: Any) -> bool:
  return hasattr(space, "n") and not getattr(space, "shape", ())


def observation_size(space: Any) -> int:
  """Returns the length of a space's observations as vectors, ``O``.

  Raises:
    ValueError: a space without a fixed shape (Text, Sequence, Graph, OneOf), or none.
  """
  parts, shape = getattr(space, "spaces", None), _shape(space)
  if type(space).__name__ != "OneOf":
    if parts is not None:
      return sum(observation_size(part) for part in _values(parts))
    if shape is not None:
      return int(space.n) if _is_discrete(space) else int(np.prod(shape))
  raise ValueError(
    "the observation space must be made of Box, Discrete, MultiBinary, MultiDiscrete, Dict and "
    f"Tuple, whose observations have a fixed size, got {space}: wrap the environment in "
    "gymnasium.wrappers.TransformObservation."
  )


def flatten(space: Any, value: Any, name: str = "observation") -> np.ndarray:
  """Flattens an observation to one vector ``[O]`` (float32).

  Dictionaries and tuples are concatenated in the order of the space; a choice among ``n``
  becomes a one-hot vector. Types are converted; axes of length one may be missing or extra.

  Args:
    space: the observation space.
    value: the observation.
    name: of the observation or of a part of it, for messages.

  Raises:
    ProtocolError: the value has another structure, shape or kind than the space.
  """
  parts = getattr(space, "spaces", None)
  if parts is not None:
    flat = [
      flatten(part, value[key], f"{name}[{key!r}]") for key, part in _items(parts, value, name)
    ]
    return np.concatenate([np.zeros(0, np.float32), *flat])
  try:
    array = np.asarray(value)
  except ValueError:  # ragged
    array = np.asarray(None)
  shape = _shape(space) or ()
  squeezed = lambda shape: [length for length in shape if length != 1]
  if array.dtype.kind not in "biuf" or squeezed(array.shape) != squeezed(shape):
    raise ProtocolError(value, f"numbers of shape {list(shape)}", name)
  if not _is_discrete(space):
    return np.array(array, np.float32).reshape(-1)
  n, start = int(space.n), int(getattr(space, "start", 0))
  index = array.item() - start
  if index not in range(n):
    raise ProtocolError(value, f"an integer from {start} to {start + n - 1}", name)
  one_hot = np.zeros(n, np.float32)
  one_hot[int(index)] = 1
  return one_hot


def _items(parts: Any, value: Any, name: str) -> list[tuple[Any, Any]]:
  """Returns the keys and spaces of a value's parts, and checks that it has all of them."""
  if isinstance(parts, Mapping):
    if not (isinstance(value, Mapping) and all(key in value for key in parts)):
      raise ProtocolError(value, f"a dictionary of {', '.join(map(repr, parts))}", name)
    return list(parts.items())
  if not (isinstance(value, (tuple, list)) and len(value) == len(parts)):
    raise ProtocolError(value, f"a tuple of {len(parts)}", name)
  return list(enumerate(parts))


def _values(parts: Any) -> list[Any]:
  return list(parts.values() if isinstance(parts, Mapping) else parts)


def _shape(space: Any) -> tuple[int, ...] | None:
  """Returns the shape of an observation; ``()`` for ``Discrete``."""
  return () if _is_discrete(space) else getattr(space, "shape", None)
