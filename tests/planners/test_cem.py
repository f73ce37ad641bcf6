"""CEM against its equations, with PETS' bounds and stopping rule."""

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.planners import cem


def test_update_matches_the_closed_form():
  search = cem(samples=6, elites=2, alpha=0.25)
  state = search.init(jnp.full((1, 1), -4.0), jnp.full((1, 1), 4.0))
  np.testing.assert_allclose(state.variance, [[4.0]])
  plans = jnp.array([0.0, 1.0, 2.0, 3.0, -1.0, -2.0]).reshape(6, 1, 1)
  state = search.update(state, plans, jnp.array([0.0, 5.0, 1.0, 7.0, -jnp.inf, 2.0]))
  np.testing.assert_allclose(state.mean, [[0.75 * 2.0]])
  np.testing.assert_allclose(state.variance, [[0.25 * 4.0 + 0.75 * 1.0]])
  shifted = search.shift(state, 1)
  np.testing.assert_allclose(shifted.mean, [[0.0]])
  np.testing.assert_allclose(shifted.variance, [[4.0]])


def test_two_sigma_stay_within_bounds_and_update_stops_at_epsilon():
  search = cem(samples=500, elites=5)
  state = search.init(jnp.full((1, 1), -1.0), jnp.full((1, 1), 1.0))
  near_bound = state._replace(mean=jnp.full((1, 1), 0.9))
  plans, _ = search.sample(near_bound, jax.random.key(0), 500)
  assert plans.min() >= 0.8 and plans.max() <= 1.0  # two sigma are 0.1 there
  converged = state._replace(variance=jnp.full((1, 1), 1e-3))
  after = search.update(converged, plans, jnp.arange(500.0))
  np.testing.assert_array_equal(after.mean, converged.mean)


def test_elites_without_a_finite_return_have_zero_weight():
  search = cem(samples=4, elites=3, alpha=0.0)
  state = search.init(jnp.full((1, 1), -4.0), jnp.full((1, 1), 4.0))
  returns = jnp.array([1.0, -jnp.inf, -jnp.inf, -jnp.inf])
  state = search.update(state, jnp.array([2.0, 3.0, 3.0, 3.0]).reshape(4, 1, 1), returns)
  np.testing.assert_allclose(state.mean, [[2.0]])
