"""Noise against JAX and scipy, and the spectrum of coloured noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from mbrl_jax.ops.noise import coloured_normal, erf_inv, normal, truncated_normal


@pytest.mark.parametrize("horizon", [12, 25])
@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.5])
def test_coloured_noise_has_unit_variance_and_the_requested_spectrum(horizon, exponent):
  noise = np.asarray(
    coloured_normal(jax.random.key(0), (4000, horizon, 2), jnp.float32(exponent))
  )
  assert noise.shape == (4000, horizon, 2)
  np.testing.assert_allclose(noise.std(axis=(0, 2)), 1.0, atol=0.04)
  np.testing.assert_allclose(noise.mean(axis=(0, 2)), 0.0, atol=0.06)
  power = (np.abs(np.fft.rfft(noise, axis=1)) ** 2).mean(axis=(0, 2))
  inner = slice(1, (horizon - 1) // 2 + 1)
  slope = np.polyfit(np.log(np.fft.rfftfreq(horizon)[inner]), np.log(power[inner]), 1)[0]
  np.testing.assert_allclose(slope, -exponent, atol=0.1)


def test_action_dimensions_are_independent():
  noise = coloured_normal(jax.random.key(1), (3000, 8, 2), jnp.float32(2.0))
  correlation = np.corrcoef(noise[:, 0, 0], noise[:, 0, 1])[0, 1]
  assert abs(correlation) < 0.06


def test_truncated_normal_stays_within_two_sigma():
  draws = truncated_normal(jax.random.key(0), (20000,))
  assert np.abs(draws).max() <= 2.0
  # Variance of a standard normal cut at +-2: 1 - 2 * 2 * pdf(2) / (cdf(2) - cdf(-2)).
  np.testing.assert_allclose(np.var(draws), 0.7737, atol=0.02)


def test_white_noise_is_not_filtered():
  white = normal(jax.random.key(0), (5, 2, 7))
  drawn = coloured_normal(jax.random.key(0), (5, 7, 2), 0.0)
  np.testing.assert_array_equal(drawn, jnp.swapaxes(white, 1, 2))


def test_inverse_error_function_agrees_with_scipy():
  nearest = np.nextafter(np.float32(1), np.float32(0))
  x = np.concatenate([np.linspace(-0.9999, 0.9999, 20_001), [-nearest, 1e-30, nearest]])
  x = np.float32(x)
  np.testing.assert_allclose(erf_inv(x), special.erfinv(np.float64(x)), rtol=6e-7)


@pytest.mark.parametrize(
  ("draw", "reference"),
  [
    (normal, jax.random.normal),
    (truncated_normal, lambda key, shape: jax.random.truncated_normal(key, -2, 2, shape)),
  ],
)
def test_draws_agree_with_jax(draw, reference):
  key, shape = jax.random.key(3), (300, 7)
  np.testing.assert_allclose(draw(key, shape), reference(key, shape), rtol=1e-5, atol=1e-7)
