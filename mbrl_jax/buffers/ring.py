"""Ring buffer of transitions as pure functions over a pytree of arrays.

Non-finite items are never stored: a single NaN would be sampled again and again and spoil
every net trained on the batch.

Example:
  >>> import jax, jax.numpy as jnp
  >>> from mbrl_jax.buffers import ring
  >>> buffer = ring.init(3, {"obs": jnp.zeros(2)})
  >>> buffer = ring.add(buffer, {"obs": jnp.ones(2)})
  >>> ring.sample(buffer, jax.random.key(0), 2)["obs"].tolist()
  [[1.0, 1.0], [1.0, 1.0]]
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
    cursor: next row to write, ``[]`` int32.
    size: number of valid rows, ``[]`` int32.
    dropped: number of non-finite items rejected so far, ``[]`` int32; None: not counted.
  """

  data: Any
  cursor: Array
  size: Array
  dropped: Array | None = None

  @property
  def capacity(self) -> int:
    """Total number of rows."""
    return jax.tree.leaves(self.data)[0].shape[0]


def init(capacity: int, example: Any, *, count_dropped: bool = False) -> Ring:
  """Makes an empty buffer for items shaped like ``example`` (arrays or shapes).

  Args:
    capacity: number of rows.
    example: one item.
    count_dropped: count the items that are rejected because they are not finite.

  Raises:
    ValueError: a capacity that is not positive.
  """
  positive(capacity=capacity)
  data = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), example)
  zero = lambda: jnp.zeros((), jnp.int32)  # leaves that share a buffer cannot be donated
  return Ring(data, zero(), zero(), zero() if count_dropped else None)


def is_finite(item: Any) -> Array:
  """Tests whether all numbers of one item are finite, ``[]`` bool."""
  finite = jnp.ones((), bool)
  for x in jax.tree.leaves(item):
    if jnp.issubdtype(jnp.result_type(x), jnp.inexact):
      finite &= jnp.isfinite(x).all()
  return finite


def add(ring: Ring, item: Any) -> Ring:
  """Writes one item if it is finite; a full buffer overwrites the oldest."""
  count = jnp.int32(is_finite(item))
  row = jnp.where(count, ring.cursor, ring.capacity)  # out of range: dropped
  data = jax.tree.map(lambda rows, x: rows.at[row].set(x, mode="drop"), ring.data, item)
  return _advance(ring, data, count, 1 - count)


def add_many(ring: Ring, items: Any, keep: Array) -> Ring:
  """Writes the finite items of a batch that ``keep`` selects, in order.

  If they exceed the capacity, the last ones remain, as if added one by one.

  Args:
    ring: the buffer.
    items: leaves ``[n, ...]``.
    keep: mask of the items to write, ``[n]`` bool.
  """
  requested, keep = keep, keep & jax.vmap(is_finite)(items)
  order, count = jnp.cumsum(keep), jnp.sum(keep, dtype=jnp.int32)
  if len(keep) > ring.capacity:  # write no row twice: the order of writes is undefined
    keep &= order > count - ring.capacity
  position = (ring.cursor + order - 1) % ring.capacity
  rows = jnp.where(keep, position, ring.capacity)  # out of range: dropped
  data = jax.tree.map(lambda old, x: old.at[rows].set(x, mode="drop"), ring.data, items)
  return _advance(ring, data, count, jnp.sum(requested, dtype=jnp.int32) - count)


def add_batch(ring: Ring, items: Any) -> Ring:
  """Writes all finite items of a batch, leaves ``[n, ...]``, in order.

  A single item updates one row in place; several are scattered, see ``add_many``.
  """
  count = len(jax.tree.leaves(items)[0])
  if count == 1:
    return add(ring, jax.tree.map(lambda x: x[0], items))
  return add_many(ring, items, jnp.ones(count, bool))


def grow(ring: Ring, capacity: int) -> Ring:
  """Enlarges the buffer; a full one is unrolled to chronological order first.

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


def _advance(ring: Ring, data: Any, count: Array, dropped: Array) -> Ring:
  """Returns the buffer after writing ``count`` items to ``data`` and dropping others."""
  return Ring(
    data,
    (ring.cursor + count) % ring.capacity,
    jnp.minimum(ring.size + count, ring.capacity),
    None if ring.dropped is None else ring.dropped + dropped,
  )


def sample(ring: Ring, key: Key, size: int, newest: Array | None = None) -> Any:
  """Samples ``size`` valid items uniformly with replacement, leaves ``[size, ...]``.

  Samples of an empty buffer are zeros.

  Args:
    ring: the buffer.
    key: typed key.
    size: number of samples.
    newest: sample only the ``newest`` items added last, ``[]``; None: all.
  """
  if newest is None:
    rows = jax.random.randint(key, (size,), 0, jnp.maximum(ring.size, 1), jnp.int32)
  else:
    eligible = jnp.clip(newest, 1, jnp.maximum(ring.size, 1))
    age = jax.random.randint(key, (size,), 0, eligible, jnp.int32)
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
  """Samples a batch of which ``floor(size * share)`` items come from ``first``.

  Samples of an empty buffer are zeros.

  Args:
    first, second: buffers of items of one structure.
    key: typed key.
    size: batch size.
    share: fraction from ``first``, 0 to 1, ``[]``; traced, so schedules do not recompile.
    newest: for ``second``, see ``sample``.
  """
  keys = jax.random.split(key)
  a, b = sample(first, keys[0], size), sample(second, keys[1], size, newest)
  # A rounding margin: 0.7 * 10 falls short of 7 in float32.
  count = jnp.floor(size * jnp.asarray(share, jnp.float32) * np.float32(1 + 2**-22))
  from_first = jnp.arange(size) < count
  choose = lambda x, y: jnp.where(from_first.reshape(-1, *(1,) * (x.ndim - 1)), x, y)
  return jax.tree.map(choose, a, b)
