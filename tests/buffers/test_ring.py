"""The ring buffer: order, capacity, sampling, growth and non-finite items."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.buffers import ring


def filled(count, capacity=4):
  buffer = ring.init(capacity, {"x": jnp.zeros(2), "n": jnp.zeros((), jnp.int32)})
  for i in range(count):
    buffer = ring.add(buffer, {"x": jnp.full(2, i, jnp.float32), "n": jnp.int32(i)})
  return buffer


def test_oldest_items_are_overwritten():
  buffer = filled(6)
  assert buffer.size == 4 and buffer.capacity == 4
  np.testing.assert_array_equal(buffer.data["n"], [4, 5, 2, 3])
  np.testing.assert_array_equal(filled(3).data["n"][:3], [0, 1, 2])


def test_samples_come_from_valid_rows_only():
  draws = ring.sample(filled(3, capacity=10), jax.random.key(0), 300)
  assert set(np.asarray(draws["n"])) == {0, 1, 2}
  np.testing.assert_array_equal(draws["x"][:, 0], draws["n"])


def test_add_works_in_scan_and_under_vmap():
  def run(start):
    buffer = ring.init(5, jnp.zeros(()))
    body = lambda b, x: (ring.add(b, x + start), None)
    return jax.lax.scan(body, buffer, jnp.arange(3.0))[0]

  batched = jax.vmap(run)(jnp.array([0.0, 10.0]))
  np.testing.assert_array_equal(batched.data[1], [10, 11, 12, 0, 0])
  np.testing.assert_array_equal(batched.size, [3, 3])


def test_capacity_must_be_positive():
  with pytest.raises(ValueError, match="capacity=0 must be positive"):
    ring.init(0, jnp.zeros(()))


def test_add_many_writes_the_selected_items_and_wraps_around():
  buffer = filled(3)
  items = {"x": jnp.zeros((4, 2)), "n": jnp.arange(10, 14, dtype=jnp.int32)}
  buffer = ring.add_many(buffer, items, jnp.array([True, False, True, True]))
  np.testing.assert_array_equal(buffer.data["n"], [12, 13, 2, 10])
  assert buffer.size == 4 and buffer.cursor == 2
  same = ring.add_many(buffer, items, jnp.zeros(4, bool))
  chex.assert_trees_all_equal(same, buffer)


def test_add_many_equals_adding_one_by_one():
  rng = np.random.default_rng(0)
  one = many = ring.init(7, jnp.zeros(()))
  for _ in range(6):
    items, keep = rng.normal(size=5), rng.random(5) < 0.6
    many = ring.add_many(many, jnp.float32(items), jnp.asarray(keep))
    for item in items[keep]:
      one = ring.add(one, jnp.float32(item))
    chex.assert_trees_all_equal(one, many)


@pytest.mark.parametrize("keep", [[1] * 7, [0, 1, 1, 0, 1, 1, 1], [1, 0, 0, 1, 0, 0, 0]])
def test_a_batch_above_the_capacity_keeps_its_last_items(keep):
  """As if added one by one, such as from more environments than there are rows."""
  items, one = jnp.arange(7.0).at[5].set(jnp.nan), ring.add(ring.init(3, jnp.zeros(())), -1.0)
  many = jax.jit(ring.add_many)(one, items, jnp.array(keep, bool))
  for item in items[np.array(keep, bool)]:
    one = ring.add(one, item)
  chex.assert_trees_all_equal(one, many)


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.8, 204), (0.05, 12), (1.0, 256)])
def test_a_fraction_of_the_batch_comes_from_the_first_buffer(share, count):
  ones = ring.add(ring.init(3, jnp.zeros(())), jnp.ones(()))
  empty_or_twos = ring.init(3, jnp.zeros(()))
  if share < 1:
    empty_or_twos = ring.add(empty_or_twos, jnp.full((), 2.0))
  draw = jax.jit(
    lambda share: ring.sample_two(ones, empty_or_twos, jax.random.key(0), 256, share)
  )
  batch = np.asarray(draw(share))
  assert (batch == 1).sum() == count and set(batch) <= {1.0, 2.0}


def test_newest_limits_samples_to_the_newest_items():
  buffer = filled(6, capacity=5)  # holds 1 to 5, the cursor in the middle
  draws = ring.sample(buffer, jax.random.key(0), 300, jnp.int32(3))
  assert set(np.asarray(draws["n"])) == {3, 4, 5}
  draws = ring.sample(buffer, jax.random.key(0), 300, jnp.int32(99))
  assert set(np.asarray(draws["n"])) == {1, 2, 3, 4, 5}


def test_batch_fractions_are_exact():
  """0.7 of 10 is less than 7 in float32."""
  ones, twos = (ring.add(ring.init(1, jnp.zeros(())), jnp.full((), x)) for x in (1.0, 2.0))
  for size in (10, 100, 255, 256):
    draw = lambda share, n=size: ring.sample_two(ones, twos, jax.random.key(0), n, share)
    batches = np.asarray(jax.jit(jax.vmap(draw))(jnp.float32(np.arange(101) / 100)))
    assert (batches == 1).sum(1).tolist() == [size * k // 100 for k in range(101)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_items_are_dropped_and_counted(bad):
  blank = {"x": jnp.zeros(2), "n": jnp.zeros((), jnp.int32)}
  buffer = ring.init(5, blank, count_dropped=True)
  rows = [[1.0, 1.0], [bad, 2.0], [3.0, 3.0], [4.0, bad]]
  for n, row in enumerate(rows):
    buffer = ring.add(buffer, {"x": jnp.array(row), "n": jnp.int32(n)})
  assert buffer.size == buffer.cursor == 2 and buffer.dropped == 2
  np.testing.assert_array_equal(buffer.data["n"][:2], [0, 2])
  items = {"x": jnp.array(rows), "n": jnp.arange(10, 14, dtype=jnp.int32)}
  many = ring.add_many(buffer, items, jnp.array([True, True, True, False]))
  np.testing.assert_array_equal(many.data["n"], [0, 2, 10, 12, 0])
  assert many.size == 4 and many.dropped == 3  # items outside keep do not count
  assert np.isfinite(many.data["x"]).all()
  assert ring.add(ring.init(5, blank), items | {"x": jnp.zeros(2), "n": 1}).dropped is None


def test_samples_of_an_empty_buffer_are_zeros():
  empty = ring.init(3, jnp.zeros(()))
  for newest in (None, jnp.int32(0), jnp.int32(2)):
    np.testing.assert_array_equal(ring.sample(empty, jax.random.key(0), 50, newest), 0)


@pytest.mark.parametrize("added", [0, 2, 4, 7, 9])
def test_grow_keeps_all_items_and_their_order(added):
  items = jnp.arange(1, 20)
  small = ring.init(4, items[0])
  for item in items[:added]:
    small = ring.add(small, item)
  large = ring.grow(small, 6)
  assert large.capacity == 6 and int(large.size) == min(added, 4)
  for item in items[added : added + 3]:
    large = ring.add(large, item)
  size = min(min(added, 4) + 3, 6)
  newest = set(items[max(added - 4, 0) : added + 3].tolist()[-size:])
  assert set(np.asarray(large.data)[: int(large.size)].tolist()) == newest


def test_a_buffer_cannot_shrink():
  with pytest.raises(ValueError, match="capacity=3 is below 4: buffers only grow"):
    ring.grow(ring.init(4, jnp.int32(0)), 3)


@pytest.mark.parametrize("count", [1, 3])
def test_add_batch_equals_adding_one_by_one(count):
  several, one = (ring.init(5, jnp.float32(0)) for _ in range(2))
  for start in (1.0, 10.0, 20.0):
    batch = start + jnp.arange(count)
    several = ring.add_batch(several, batch.at[0].set(jnp.nan) if start == 10.0 else batch)
    for item in batch[start == 10.0 :]:
      one = ring.add(one, item)
  chex.assert_trees_all_equal(several, one)
