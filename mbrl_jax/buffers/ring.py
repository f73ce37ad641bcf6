"""A ring buffer of transitions as pure functions over a pytree of arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.validate import positive
from mbrl_jax.types import Array, Key


class Ring(NamedTuple):
  """State of a ring buffer.

  Attributes:
    data: items, leaves ``[capacity, ...]``; the first ``size`` rows are valid.
    cursor: row that is written next, ``[]`` int32.
    size: number of valid rows, ``[]`` int32.
  """

  data: Any
  cursor: Array
  size: Array

  @property
  def capacity(self) -> int:
    """Rows in all."""
    return jax.tree.leaves(self.data)[0].shape[0]


def init(capacity: int, example: Any) -> Ring:
  """Makes an empty buffer for items shaped like ``example`` (arrays or shapes)."""
  positive(capacity=capacity)
  data = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), example)
  return Ring(data, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def add(ring: Ring, item: Any) -> Ring:
  """Writes one item, over the oldest once the buffer is full."""
  data = jax.tree.map(lambda rows, x: rows.at[ring.cursor].set(x), ring.data, item)
  size = jnp.minimum(ring.size + 1, ring.capacity)
  return Ring(data, (ring.cursor + 1) % ring.capacity, size)


def sample(ring: Ring, key: Key, size: int) -> Any:
  """Draws ``size`` valid items uniformly with replacement, leaves ``[size, ...]``.

  The buffer must not be empty.
  """
  rows = jax.random.randint(key, (size,), 0, ring.size)
  return jax.tree.map(lambda x: x[rows], ring.data)
