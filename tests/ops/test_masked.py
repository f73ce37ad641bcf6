"""Statistics of padded arrays against numpy on the valid entries."""

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.masked import masked_mean, masked_standardize, masked_variance


def data():
  rng = np.random.default_rng(0)
  x, mask = rng.normal(3.0, 2.0, (7, 9)).astype(np.float32), rng.uniform(size=(7, 9)) < 0.6
  return jnp.where(mask, x, jnp.nan), jnp.asarray(mask), x[mask]


def test_statistics_are_those_of_the_valid_entries():
  x, mask, valid = data()
  np.testing.assert_allclose(masked_mean(x, mask), valid.mean(), rtol=1e-6)
  np.testing.assert_allclose(masked_variance(x, mask), valid.var(), rtol=1e-5)
  standard = np.asarray(masked_standardize(x, mask))
  np.testing.assert_allclose(standard[mask], (valid - valid.mean()) / valid.std(), atol=1e-5)
  assert (standard[~np.asarray(mask)] == 0).all()


def test_no_valid_entries_and_constant_ones_give_zero():
  nothing = jnp.zeros(3, bool)
  assert masked_mean(jnp.full(3, jnp.nan), nothing) == 0
  assert (masked_standardize(jnp.full(3, 7.0), ~nothing) == 0).all()


def test_gradients_of_the_mean_ignore_padding():
  x, mask, valid = data()
  gradient = jax.grad(lambda x: masked_mean(x**2, mask))(x)
  want = jnp.where(mask, 2 * x / len(valid), 0.0)
  np.testing.assert_allclose(np.asarray(gradient)[mask], np.asarray(want)[mask], rtol=1e-6)
