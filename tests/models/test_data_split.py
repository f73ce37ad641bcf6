"""Bootstrap, hold-out and shuffling of rows."""

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.models.data_split import draw_rows, shuffle, split_rows

CAP, SIZE = 40, 23


def split(holdout=0.0, maximum=100, size=SIZE):
  return split_rows(jax.random.key(0), CAP, jnp.int32(size), holdout, maximum)


def test_bootstrap_draws_with_replacement_from_the_valid_rows():
  rows = np.asarray(draw_rows(jax.random.key(1), 400, CAP, split(), True))[:, :SIZE]
  assert rows.min() == 0 and rows.max() == SIZE - 1
  counts = np.bincount(rows.ravel(), minlength=SIZE)
  assert np.abs(counts / 400 - 1).max() < 0.25
  # A row is missing from a member's bootstrap with probability (1 - 1/n)^n.
  missing = np.mean([SIZE - len(np.unique(row)) for row in rows]) / SIZE
  np.testing.assert_allclose(missing, (1 - 1 / SIZE) ** SIZE, atol=0.02)
  assert (rows[0] != rows[1]).any()


def test_without_bootstrap_every_member_gets_every_row_once():
  rows = np.asarray(draw_rows(jax.random.key(1), 3, CAP, split(), False))[:, :SIZE]
  np.testing.assert_array_equal(rows, np.tile(np.arange(SIZE), (3, 1)))


def test_shuffle_permutes_only_the_first_count_entries():
  rows = jax.random.randint(jax.random.key(2), (5, CAP), 0, 1000)
  mixed = np.asarray(jax.jit(shuffle)(jax.random.key(3), rows, jnp.int32(SIZE)))
  rows = np.asarray(rows)
  np.testing.assert_array_equal(mixed[:, SIZE:], rows[:, SIZE:])
  np.testing.assert_array_equal(np.sort(mixed[:, :SIZE]), np.sort(rows[:, :SIZE]))
  same = jnp.broadcast_to(jnp.arange(CAP), (2000, CAP))
  order = np.asarray(shuffle(jax.random.key(4), same, jnp.int32(4)))[:, :4]
  assert len({tuple(row) for row in order}) == 24


def test_holdout_partitions_the_valid_rows():
  parts = split(0.2)
  order = np.asarray(parts.order)
  assert parts.held == 4 and parts.train == SIZE - 4
  np.testing.assert_array_equal(np.sort(order[:SIZE]), np.arange(SIZE))
  assert (order[:4] != np.arange(4)).any()
  drawn = np.asarray(draw_rows(jax.random.key(1), 50, CAP, parts, True))[:, : SIZE - 4]
  assert set(drawn.ravel()) == set(order[4:SIZE])


def test_holdout_has_a_maximum_and_a_minimum():
  assert split(0.2, maximum=2).held == 2
  assert split(0.2, size=3).held == 1


def test_holdout_fraction_is_exact():
  """0.7 of 10 rows is less than 7 in float32."""
  for size in (10, 20, 30, 40):
    assert split(0.7, size=size).held == 7 * size // 10


def test_holdout_leaves_a_row_to_train_on():
  parts = split(0.2, size=1)
  assert (parts.held, parts.train) == (0, 1) and parts.order[0] == 0
  assert (split(0.9, size=2).held, split(0.9, size=2).train) == (1, 1)
  assert (split(0.2, size=0).held, split(0.2, size=0).train) == (0, 0)
