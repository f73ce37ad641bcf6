"""Running statistics against numpy, over batches of different sizes."""

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.normalize import fit_normalizer, normalize
from mbrl_jax.ops.running_statistics import (
  add_rows,
  no_statistics,
  normalizer_of,
  root_mean_square,
)

ADD = jax.jit(add_rows)


def merged(batches, masks):
  statistics = no_statistics(batches[0].shape[1])
  for x, mask in zip(batches, masks, strict=True):
    statistics = ADD(statistics, jnp.float32(x), jnp.asarray(mask))
  return statistics


def test_batches_merge_to_the_statistics_of_all_valid_rows():
  rng = np.random.default_rng(0)
  # A large mean and a drift, at which sums of squares would lose all digits in float32.
  batches = [
    np.float32(1000 + 5 * i + rng.normal(size=(n, 3)) * [0.1, 1, 10])
    for i, n in enumerate((7, 1, 300, 64))
  ]
  masks = [rng.random(len(x)) < 0.7 for x in batches]
  masks[1][:] = False  # a batch without valid rows
  rows = np.concatenate([x[m] for x, m in zip(batches, masks, strict=True)]).astype(float)
  found = merged(batches, masks)
  assert found.rows == len(rows)
  np.testing.assert_allclose(found.mean, rows.mean(0), rtol=1e-6)
  np.testing.assert_allclose(found.variance, rows.var(0), rtol=1e-4)
  square = np.sqrt((rows**2).mean(0))
  np.testing.assert_allclose(root_mean_square(found), square, rtol=1e-6)


def test_a_single_batch_normalises_like_fit_normalizer():
  x = jnp.float32(np.random.default_rng(1).normal(3, 2, size=(50, 2)))
  mask = jnp.arange(50) < 40
  normalizer = normalizer_of(merged([x], [mask]))
  expected = fit_normalizer(x, mask)
  np.testing.assert_allclose(normalizer.mean, expected.mean, rtol=1e-6)
  np.testing.assert_allclose(normalizer.scale, expected.scale, rtol=1e-5)
  scaled = np.asarray(normalize(normalizer, x[:40]))
  np.testing.assert_allclose([scaled.mean(0), scaled.std(0)], [[0, 0], [1, 1]], atol=1e-5)


def test_constant_columns_have_scale_one_and_an_exact_mean():
  batches = [np.full((n, 1), 0.1, np.float32) for n in (3, 77, 1000)]
  found = merged(batches, [np.ones(len(x), bool) for x in batches])
  normalizer = normalizer_of(found)
  np.testing.assert_array_equal(normalizer.scale, [1])
  np.testing.assert_allclose(normalizer.mean, [np.float32(0.1)], rtol=1e-7)


def test_non_finite_rows_are_ignored():
  x = np.float32([[1, 2], [np.nan, 2], [3, np.inf], [5, 6]])
  found = merged([x, x], [np.ones(4, bool)] * 2)
  assert found.rows == 4
  np.testing.assert_allclose(found.mean, [3, 4])
  np.testing.assert_allclose(found.variance, [4, 4])


def test_no_rows_give_the_identity():
  normalizer = normalizer_of(merged([np.full((2, 3), np.nan)], [np.ones(2, bool)]))
  x = np.float32([[1, -2, 3]])
  np.testing.assert_array_equal(normalize(normalizer, x), x)
  np.testing.assert_array_equal(root_mean_square(no_statistics(2)), [1, 1])
