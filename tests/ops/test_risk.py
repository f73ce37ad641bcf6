"""Risk measures against closed forms, for returns of any size."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.ops import risk

MEASURES = {
  "mean": risk.mean(),
  "worst": risk.worst(),
  "best": risk.best(),
  "mean_minus_std": risk.mean_minus_std(0.7),
  "mean_plus_std": risk.mean_minus_std(-0.7),
  "cvar": risk.cvar(0.4),
  "entropic": risk.entropic(0.5),
}


def exact_cvar(returns, fraction):
  """Integrates the quantile function over the worst fraction, particle by particle."""
  mass, total = Fraction(str(fraction)) * len(returns), 0.0
  for i, value in enumerate(np.sort(returns)):
    total += float(min(max(mass - i, 0), 1)) * value
  return total / float(mass)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.29, 0.5, 0.7, 0.95, 1.0])
@pytest.mark.parametrize("particles", [1, 3, 5, 20])
def test_cvar_weights_the_last_particle_of_the_tail_by_its_fraction(fraction, particles):
  returns = np.random.default_rng(particles).normal(size=particles)
  expected = exact_cvar(returns, fraction)
  np.testing.assert_allclose(risk.cvar(fraction)(jnp.float32(returns)), expected, rtol=2e-6)


def test_cvar_of_half_of_five_particles_averages_two_and_a_half():
  returns = jnp.array([5.0, 1.0, 4.0, 2.0, 3.0])
  np.testing.assert_allclose(risk.cvar(0.5)(returns), (1 + 2 + 3 / 2) / 2.5)
  np.testing.assert_allclose(jax.grad(risk.cvar(0.5))(returns), [0, 0.4, 0, 0.4, 0.2])


@pytest.mark.parametrize("name", MEASURES)
def test_gradients_are_finite_and_sum_to_one(name):
  """Every measure is translation equivariant: a constant added to all returns adds to it."""
  infinite = [[-np.inf, 1, 2], [np.inf, 1, 2], [-np.inf] * 3, [np.inf] * 3]
  for returns in ([1.0] * 4, [2.0], [1, 1, 3, 3], [0.0, 1e-30], [1e30, 1e30, -1e30], *infinite):
    gradient = jax.grad(MEASURES[name])(jnp.float32(returns))
    assert np.isfinite(gradient).all(), returns
    np.testing.assert_allclose(gradient.sum(), 1.0, rtol=1e-5)


def test_mean_minus_std_of_equal_returns_has_the_gradient_of_the_mean():
  value, gradient = jax.value_and_grad(risk.mean_minus_std(2.0))(jnp.full(4, 3.0))
  assert value == 3.0
  np.testing.assert_array_equal(gradient, np.full(4, 0.25))


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e18, 1e30])
def test_mean_minus_std_does_not_overflow(scale):
  returns = np.array([3.0, -1.0, 0.5, 2.0, 2.0]) * scale
  expected = np.mean(returns) - 0.7 * np.std(returns)
  found = jax.jit(MEASURES["mean_minus_std"])(jnp.float32(returns))
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_entropic_risk_of_infinite_returns_is_its_limit():
  entropic = MEASURES["entropic"]
  assert entropic(jnp.array([-jnp.inf, 1.0])) == -jnp.inf
  assert entropic(jnp.full(2, jnp.inf)) == jnp.inf
  assert jnp.isnan(entropic(jnp.array([jnp.nan, 1.0])))
  expected = -math.log(math.exp(-0.5 * 1.0) / 2) / 0.5
  np.testing.assert_allclose(entropic(jnp.array([jnp.inf, 1.0])), expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1.0, 1e5, 1e10, 1e30, 1e38])
def test_entropic_risk_is_accurate_for_returns_of_any_size(scale):
  returns = np.float64(np.float32([0.3, -0.2, 0.7, -1.0])) * scale
  least = returns.min()
  small = np.mean(np.expm1(-10 * (returns - least)))
  expected = least - np.log1p(small) / 10
  value, gradient = jax.jit(jax.value_and_grad(risk.entropic(10.0)))(jnp.float32(returns))
  np.testing.assert_allclose(value, expected, rtol=1e-5)
  weights = np.exp(-10 * (returns - least))
  np.testing.assert_allclose(gradient, weights / weights.sum(), atol=1e-6)
