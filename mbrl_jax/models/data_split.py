"""Hold-out split, bootstrap and shuffling of the rows of a padded data set.

Draws do not depend on the padding: with a longer first axis a draw of JAX only gains rows at
the end (threefry, partitionable, JAX's default).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.fraction import floor_share
from mbrl_jax.types import Array, Key


class Split(NamedTuple):
  """Split of the valid rows into held-out and training rows.

  Attributes:
    order: ``[cap]``, row indices: first held-out, then training, then invalid rows.
    held: ``[]``, number of held-out rows.
    train: ``[]``, number of training rows.
  """

  order: Array
  held: Array
  train: Array


def split_rows(key: Key, cap: int, size: Array, holdout: float, max_holdout: int) -> Split:
  """Holds out a random fraction of the first ``size`` of ``cap`` rows.

  A fraction above zero holds out at least one row and at most ``max_holdout`` rows, but always
  leaves one to train on.
  """
  order = jnp.arange(cap, dtype=jnp.int32)
  if not holdout:
    return Split(order, jnp.int32(0), size)
  held = jnp.clip(floor_share(size, holdout), 1, max_holdout)
  held = jnp.minimum(held, jnp.maximum(size - 1, 0))
  return Split(shuffle(key, order, size), held, size - held)


def draw_rows(key: Key, members: int, columns: int, split: Split, bootstrap: bool) -> Array:
  """Draws each member's training rows, ``[members, columns]``.

  With ``bootstrap`` they are drawn with replacement; otherwise each member gets every row
  once. Only the first ``split.train`` columns are used; the others hold training rows, too,
  because invalid rows may be NaN, and a weight of 0 does not keep NaN out of a gradient.
  """
  if bootstrap:
    picks = jax.random.randint(key, (columns, members), 0, jnp.maximum(split.train, 1)).T
  else:
    picks = jnp.minimum(jnp.arange(columns), jnp.maximum(split.train - 1, 0))
    picks = jnp.broadcast_to(picks, (members, columns))
  return split.order[jnp.minimum(split.held + picks, len(split.order) - 1)]


def shuffle(key: Key, rows: Array, count: Array) -> Array:
  """Permutes the first ``count`` entries of the last axis at random; the rest stay in place.

  Every row of ``rows [..., n]`` gets its own permutation.
  """
  *lead, length = rows.shape
  order = jnp.moveaxis(jax.random.bits(key, (length, *lead), jnp.uint32) >> 1, 0, -1)
  order = jnp.where(jnp.arange(rows.shape[-1]) < count, order, jnp.uint32(2**32 - 1))
  return jax.lax.sort((order, rows), num_keys=1)[1]


def finite_rows(inputs: Array, targets: Array) -> Array:
  """Returns a mask of the rows whose entries are all finite, ``[N]`` bool."""
  return jnp.isfinite(inputs).all(-1) & jnp.isfinite(targets).all(-1)
