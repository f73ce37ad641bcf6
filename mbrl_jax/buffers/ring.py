"""A ring buffer of transitions as pure functions over a pytree of arrays.

What is not finite is never stored: one NaN would be drawn again and again, and each time reach
every net that learns from the batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.validate import positive
from mbrl_jax.types import Array, Key


class Ring(NamedTuple):
  """State of a ring buffer.

  Attributes:
    data: items, leaves ``[capacity, ...]``; the first ``size`` rows are valid.
    cursor: row that is written next, ``[]`` int32.
    size: number of valid rows, ``[]`` int32.
    dropped: items that were to be added and were not finite, ``[]`` int32; None: not counted.
  """

  data: Any
  cursor: Array
  size: Array
  dropped: Array | None = None

  @property
  def capacity(self) -> int:
    """Rows in all."""
    return jax.tree.leaves(self.data)[0].shape[0]


def init(capacity: int, example: Any, *, counted: bool = False) -> Ring:
  """Makes an empty buffer for items shaped like ``example`` (arrays or shapes).

  Args:
    capacity: rows.
    example: one item.
    counted: count the items that are not stored because they are not finite.

  Raises:
    ValueError: a capacity that is not positive.
  """
  positive(capacity=capacity)
  data = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), example)
  none = lambda: jnp.zeros((), jnp.int32)  # leaves that share a buffer could not be donated
  return Ring(data, none(), none(), none() if counted else None)


def storable(item: Any) -> Array:
  """Tells whether all numbers of one item are finite, ``[]`` bool."""
  found = jnp.ones((), bool)
  for x in jax.tree.leaves(item):
    if jnp.issubdtype(jnp.result_type(x), jnp.inexact):
      found &= jnp.isfinite(x).all()
  return found


def add(ring: Ring, item: Any) -> Ring:
  """Writes one item, over the oldest once the buffer is full, if it is ``storable``."""
  count = jnp.int32(storable(item))
  row = jnp.where(count, ring.cursor, ring.capacity)  # beyond the end: dropped
  data = jax.tree.map(lambda rows, x: rows.at[row].set(x, mode="drop"), ring.data, item)
  return _moved(ring, data, count, 1 - count)


def add_many(ring: Ring, items: Any, keep: Array) -> Ring:
  """Writes the items of a batch that are to be kept and ``storable``, in their order.

  Of more than the buffer has rows the last ones stay, as if they had come one by one.

  Args:
    ring: the buffer.
    items: leaves ``[n, ...]``.
    keep: which of them, ``[n]`` bool.
  """
  wanted, keep = keep, keep & jax.vmap(storable)(items)
  order, count = jnp.cumsum(keep), jnp.sum(keep, dtype=jnp.int32)
  if len(keep) > ring.capacity:  # no row is written twice: which one stays would be open
    keep &= order > count - ring.capacity
  place = (ring.cursor + order - 1) % ring.capacity
  rows = jnp.where(keep, place, ring.capacity)  # beyond the end: dropped
  data = jax.tree.map(lambda old, x: old.at[rows].set(x, mode="drop"), ring.data, items)
  return _moved(ring, data, count, jnp.sum(wanted, dtype=jnp.int32) - count)


def add_batch(ring: Ring, items: Any) -> Ring:
  """Writes all ``storable`` items of a batch, leaves ``[n, ...]``, in their order.

  A single one is written in its place; several are scattered, see ``add_many``.
  """
  count = len(jax.tree.leaves(items)[0])
  if count == 1:
    return add(ring, jax.tree.map(lambda x: x[0], items))
  return add_many(ring, items, jnp.ones(count, bool))


def grown(ring: Ring, capacity: int) -> Ring:
  """Returns the buffer with room for more; one that has gone round is laid out in order first.

  Raises:
    ValueError: a capacity below the present one.
  """
  if capacity < ring.capacity:
    raise ValueError(f"capacity={capacity} is below {ring.capacity}: buffers only grow.")
  first = jnp.where(ring.size < ring.capacity, 0, ring.cursor)
  more = capacity - ring.capacity

  def pad(rows: Array) -> Array:
    rows = jnp.roll(rows, -first, axis=0)
    return jnp.concatenate([rows, jnp.zeros((more, *rows.shape[1:]), rows.dtype)])

  data = jax.tree.map(pad, ring.data) if more else ring.data
  cursor = ring.size % capacity if more else ring.cursor
  return ring._replace(data=data, cursor=cursor)


def _moved(ring: Ring, data: Any, count: Array, dropped: Array) -> Ring:
  """Returns the buffer after ``count`` items were written to ``data``, and others were not."""
  return Ring(
    data,
    (ring.cursor + count) % ring.capacity,
    jnp.minimum(ring.size + count, ring.capacity),
    None if ring.dropped is None else ring.dropped + dropped,
  )


def sample(ring: Ring, key: Key, size: int, newest: Array | None = None) -> Any:
  """Draws ``size`` valid items uniformly with replacement, leaves ``[size, ...]``.

  Of an empty buffer all items are zeros.

  Args:
    ring: the buffer.
    key: typed key.
    size: how many.
    newest: draw only from so many items that were added last, ``[]``; None: from all.
  """
  if newest is None:
    rows = jax.random.randint(key, (size,), 0, jnp.maximum(ring.size, 1), jnp.int32)
  else:
    among = jnp.clip(newest, 1, jnp.maximum(ring.size, 1))
    age = jax.random.randint(key, (size,), 0, among, jnp.int32)
    rows = (ring.cursor - 1 - age) % ring.capacity
  return jax.tree.map(lambda x: x[rows], ring.data)


def sample_two(
  first: Ring,
  second: Ring,
  key: Key,
  size: int,
  share: Array,
  newest: Array | None = None,
) -> Any:
  """Draws a batch of which ``floor(size * share)`` items come from ``first``.

  What is taken of one that is empty are zeros.

  Args:
    first, second: buffers of items alike.
    key: typed key.
    size: of the batch.
    share: 0 to 1, ``[]``; data, so that schedules do not recompile.
    newest: of ``second``, see ``sample``.
  """
  keys = jax.random.split(key)
  a, b = sample(first, keys[0], size), sample(second, keys[1], size, newest)
  # a margin of rounding, because 0.7 of 10 falls short of 7 in float32
  count = jnp.floor(size * jnp.asarray(share, jnp.float32) * np.float32(1 + 2**-22))
  own = jnp.arange(size) < count
  choose = lambda x, y: jnp.where(own.reshape(-1, *(1,) * (x.ndim - 1)), x, y)
  return jax.tree.map(choose, a, b)
