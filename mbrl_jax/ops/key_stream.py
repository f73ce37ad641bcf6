"""Random keys: their type, and named streams that are independent for the same seed."""

from __future__ import annotations

import zlib
from typing import Any

import jax

from mbrl_jax.types import Array, Key

_ROOT = 2**32 - 1  # unlikely as a user's seed


def is_key(leaf: Any) -> bool:
  """Returns whether ``leaf`` is an array of typed random keys."""
  dtype = getattr(leaf, "dtype", None)
  return dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)


def stream_key(stream: str, seed: int | Array) -> Key:
  """Returns the key of a seed in a named stream.

  Training uses ``jax.random.key(seed)``. A program with its own seed, such as an evaluation,
  must not draw the same numbers again if both seeds are equal.

  Args:
    stream: name of the stream, such as its purpose.
    seed: 0 to ``2^32 - 1``, ``[]``.

  Example:
    >>> bool(stream_key("evaluation", 0) == jax.random.key(0))
    False
  """
  root = jax.random.fold_in(jax.random.key(_ROOT), zlib.crc32(stream.encode()))
  return jax.random.fold_in(root, seed)
