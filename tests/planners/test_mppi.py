"""MPPI against its equations in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.planners import mppi
from mbrl_jax.planners.utility import effective_sample_size, solve_temperature


def initialised(horizon=3, **settings):
  search = mppi(**settings)
  low, high = jnp.full((horizon, 2), -1.0), jnp.full((horizon, 2), 2.0)
  return search, search.init(low, high)


@pytest.mark.parametrize("control_cost", [0.0, 0.7])
def test_update_follows_the_equations(control_cost):
  search, state = initialised(samples=50, temperature=0.8, control_cost=control_cost)
  plans, state = search.sample(state, jax.random.key(0), 50)
  returns = -jnp.sum(jnp.square(plans - 1.0), axis=(1, 2))
  mean = np.asarray(search.update(state, plans, returns).mean)

  v, cost, lam = np.asarray(plans, np.float64), -np.asarray(returns, np.float64), 0.8
  u, sigma = np.full((3, 2), 0.5), 0.5 * 1.5
  total = cost + lam * control_cost * (u / sigma**2 * v).sum((1, 2))
  weights = np.exp(-(total - total.min()) / lam)
  weights /= weights.sum()
  np.testing.assert_allclose(mean, (weights[:, None, None] * v).sum(0), rtol=1e-4, atol=1e-5)


def test_limits_of_the_temperature():
  plans = jax.random.normal(jax.random.key(1), (30, 3, 2))
  returns = jax.random.normal(jax.random.key(2), (30,))
  search, state = initialised(temperature=1e-6)
  greedy = search.update(state, plans, returns).mean
  np.testing.assert_allclose(greedy, plans[jnp.argmax(returns)], atol=1e-6)
  search, state = initialised(temperature=1e6)
  np.testing.assert_allclose(
    search.update(state, plans, returns).mean, plans.mean(0), atol=1e-5
  )


def test_invariant_to_a_constant_added_to_returns():
  search, state = initialised(temperature=0.5)
  plans = jax.random.normal(jax.random.key(1), (30, 3, 2))
  returns = jax.random.normal(jax.random.key(2), (30,))
  a, b = (search.update(state, plans, r).mean for r in (returns, returns + 100.0))
  np.testing.assert_allclose(a, b, atol=2e-4)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_temperature_attains_the_target_effective_size_at_any_scale(scale, share):
  returns = scale * jax.random.normal(jax.random.key(3), (200,))
  returns = returns.at[:40].set(-jnp.inf)
  temperature = solve_temperature(returns, jnp.float32(share))
  weights = jax.nn.softmax(returns / temperature)
  np.testing.assert_allclose(effective_sample_size(weights), share * 160, rtol=1e-2)
  assert (weights[:40] == 0).all()


def test_equal_returns_have_equal_weights():
  search, state = initialised(ess_fraction=0.1)
  plans = jax.random.normal(jax.random.key(1), (30, 3, 2))
  after = search.update(state, plans, jnp.zeros(30))
  np.testing.assert_allclose(after.mean, plans.mean(0), atol=1e-5)


def test_quadratic_return_converges_to_the_tilted_gaussian():
  """Tilting N(u, s^2) by exp(-(v - g)^2 / (2 lam)) has the mean of two Gaussians' product."""
  search = mppi(200_000, temperature=0.5, noise_scale=0.1)
  state = search.init(jnp.full((1, 1), -10.0), jnp.full((1, 1), 10.0))
  plans, state = search.sample(state, jax.random.key(0), 200_000)
  after = search.update(state, plans, -0.5 * jnp.square(plans[:, 0, 0] - 1.0))
  np.testing.assert_allclose(after.mean, [[1.0 / (1.0 + 0.5)]], atol=0.01)


def test_shift_repeats_the_last_action():
  search, state = initialised()
  state = state._replace(mean=jnp.arange(6.0).reshape(3, 2))
  np.testing.assert_array_equal(search.shift(state, 1).mean, [[2, 3], [4, 5], [4, 5]])
