"""Normalisers on padded arrays against numpy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.ops.normalize import denormalize, fit_normalizer, identity_normalizer, normalize


def data(cap=64, size=50):
  rng = np.random.default_rng(1)
  x = rng.normal([3.0, -200.0, 0.0], [2.0, 0.1, 1e-3], (cap, 3)).astype(np.float32)
  x[size:] = 1e6
  return jnp.asarray(x), jnp.arange(cap) < size, np.asarray(x[:size], np.float64)


@pytest.mark.parametrize("kind", ["std", "mad"])
def test_statistics_ignore_padding(kind):
  x, mask, valid = data()
  got = jax.jit(fit_normalizer, static_argnums=2)(x, mask, kind)
  np.testing.assert_allclose(got.mean, valid.mean(0), rtol=1e-6)
  deviation = valid - valid.mean(0)
  scale = valid.std(0) if kind == "std" else np.abs(deviation).mean(0)
  np.testing.assert_allclose(got.scale, scale, rtol=1e-4)


def test_normalize_then_denormalize_is_the_identity():
  x, mask, valid = data()
  normalizer = fit_normalizer(x, mask)
  z = normalize(normalizer, x[:50])
  np.testing.assert_allclose(np.std(np.asarray(z), axis=0), 1.0, rtol=1e-3)
  np.testing.assert_allclose(denormalize(normalizer, z), valid, rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 1234.567, -3e6])
def test_constant_dimensions_get_scale_one_and_an_exact_mean(value):
  x = jnp.full((1000, 1), value, jnp.float32)
  normalizer = fit_normalizer(x, jnp.arange(1000) < 777)
  assert normalizer.scale[0] == 1.0
  assert np.abs(normalize(normalizer, x)).max() <= 1e-6 * max(1.0, abs(value))


def test_non_finite_entries_are_ignored():
  x, mask, valid = data()
  got = fit_normalizer(x.at[3, 0].set(jnp.nan).at[5, 1].set(jnp.inf), mask)
  np.testing.assert_allclose(got.mean[0], np.delete(valid[:, 0], 3).mean(), rtol=1e-6)
  np.testing.assert_allclose(got.mean[1], np.delete(valid[:, 1], 5).mean(), rtol=1e-6)


def test_no_rows_give_the_identity():
  got = fit_normalizer(jnp.ones((4, 2)), jnp.zeros(4, bool))
  np.testing.assert_array_equal(got.mean, identity_normalizer(2).mean)
  np.testing.assert_array_equal(got.scale, identity_normalizer(2).scale)


def test_unknown_kind_raises():
  with pytest.raises(ValueError, match=r"kind='sdt'.*'std'"):
    fit_normalizer(jnp.ones((4, 2)), jnp.ones(4, bool), "sdt")
