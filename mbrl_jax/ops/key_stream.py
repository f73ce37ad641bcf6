"""Streams of random numbers that have nothing to do with each other for the same seed."""

from __future__ import annotations

import zlib

import jax

from mbrl_jax.types import Array, Key

_ROOT = 2**32 - 1  # apart from seeds as they are chosen


def stream_key(stream: str, seed: int | Array) -> Key:
  """Returns the key of a seed in a named stream.

  ``jax.random.key(seed)`` is that of training: what looks at a run with a seed of its own, such
  as an evaluation, must not draw the same numbers again where both seeds are equal.

  Args:
    stream: what the numbers are for.
    seed: 0 to ``2^32 - 1``, ``[]``.
  """
  root = jax.random.fold_in(jax.random.key(_ROOT), zlib.crc32(stream.encode()))
  return jax.random.fold_in(root, seed)
