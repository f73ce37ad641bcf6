"""Soft bounds, likelihood and mixtures against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.ops.gaussian import gaussian_nll, mixture_moments, positive_sqrt, soft_bound


def test_soft_bound_follows_the_identity_between_and_the_bounds_outside():
  x = jnp.array([-1e3, -20.0, -5.0, -2.0, 20.0, 1e3])
  bounded = soft_bound(x, -10.0, 0.5)
  np.testing.assert_allclose(bounded[2], -5.0, atol=0.02)
  np.testing.assert_allclose(bounded[:2], -10.0, atol=1e-4)
  np.testing.assert_allclose(bounded[-2:], 0.5, atol=1e-4)
  assert np.all(np.diff(np.asarray(bounded[1:5])) > 0)


def test_soft_bound_exceeds_the_upper_bound_by_no_more_than_stated():
  top = float(soft_bound(jnp.float32(1e6), -10.0, 0.5))
  assert 0.5 <= top <= 0.5 + np.log1p(np.exp(-10.5)) + 1e-6


def test_soft_bound_passes_gradients_to_the_active_bound():
  high = jax.grad(lambda h: soft_bound(jnp.float32(9.0), -10.0, h))(0.5)
  low = jax.grad(lambda low: soft_bound(jnp.float32(-30.0), low, 0.5))(-10.0)
  assert high == pytest.approx(1.0, abs=1e-3)
  assert low == pytest.approx(1.0, abs=1e-3)


def test_nll_has_no_half_and_no_constant():
  assert gaussian_nll(1.0, jnp.log(4.0), 3.0) == pytest.approx(1 + np.log(4))


def test_mixture_moments_match_samples_of_the_mixture():
  means = np.array([[0.0, 1.0], [2.0, -1.0], [4.0, 0.0]])
  variances = np.array([[1.0, 0.5], [0.25, 2.0], [3.0, 0.0]])
  rng = np.random.default_rng(0)
  noise = rng.standard_normal((200_000, 3, 2))
  samples = (means + np.sqrt(variances) * noise).reshape(-1, 2)
  mean, variance = mixture_moments(jnp.asarray(means), jnp.asarray(variances))
  np.testing.assert_allclose(mean, samples.mean(0), atol=0.02)
  np.testing.assert_allclose(variance, samples.var(0), atol=0.03)


def test_positive_sqrt_has_no_infinite_gradient_at_zero():
  value, gradient = jax.value_and_grad(positive_sqrt)(0.0)
  assert value == 0 and gradient == 0
  assert jax.grad(positive_sqrt)(4.0) == pytest.approx(0.25)
