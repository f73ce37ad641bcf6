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


def test_works_in_scan_and_under_vmap():
  def run(start):
    buffer = ring.init(5, jnp.zeros(()))
    body = lambda b, x: (ring.add(b, x + start), None)
    return jax.lax.scan(body, buffer, jnp.arange(3.0))[0]

  batched = jax.vmap(run)(jnp.array([0.0, 10.0]))
  np.testing.assert_array_equal(batched.data[1], [10, 11, 12, 0, 0])
  np.testing.assert_array_equal(batched.size, [3, 3])


def test_capacity_must_be_positive():
  with pytest.raises(ValueError, match="capacity must be positive, got 0"):
    ring.init(0, jnp.zeros(()))
