"""Properties of mirror descent, and the planners that are its special cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.planners import cem, mirror_descent, mppi

H, A, N = 4, 2, 60
LOW, HIGH = jnp.full((H, A), -1.0), jnp.full((H, A), 2.0)


def problem(**settings):
  """Returns a search, a state that is not the first one, and plans with their returns."""
  search = mirror_descent(N, **settings)
  state = search.init(LOW, HIGH)
  state = state._replace(mean=0.3 * jax.random.normal(jax.random.key(5), (H, A)))
  plans = search.sample(state, jax.random.key(0), N)
  return search, state, plans, jax.random.normal(jax.random.key(1), (N,))


def test_gamma_one_with_the_exponential_utility_is_mppi_bit_for_bit():
  search, state, plans, returns = problem(temperature=0.7, effective=0.0)
  other = mppi(N, temperature=0.7)
  theirs = other.init(LOW, HIGH)._replace(mean=state.mean)
  np.testing.assert_array_equal(
    search.update(state, plans, returns).mean, other.update(theirs, plans, returns).mean
  )
  np.testing.assert_array_equal(search.shift(state, 1).mean, other.shift(theirs, 1).mean)


def test_gamma_one_with_the_threshold_utility_is_cem_bit_for_bit():
  search, state, plans, returns = problem(utility="threshold", elites=7, covariance="diagonal")
  returns = returns.at[3].set(-jnp.inf)
  other = cem(N, 7, alpha=0.0)
  theirs = other.init(LOW, HIGH)._replace(mean=state.mean)
  ours, theirs = search.update(state, plans, returns), other.update(theirs, plans, returns)
  np.testing.assert_array_equal(ours.mean, theirs.mean)
  np.testing.assert_array_equal(ours.covariance, theirs.variance)


@pytest.mark.parametrize("covariance", ["fixed", "diagonal", "full"])
@pytest.mark.parametrize("utility", ["exponential", "threshold"])
def test_gamma_zero_is_the_warm_start(utility, covariance):
  search, state, plans, returns = problem(utility=utility, covariance=covariance, step_size=0.0)
  after = search.update(state, plans, returns)
  np.testing.assert_array_equal(after.mean, state.mean)
  np.testing.assert_array_equal(after.covariance, state.covariance)


@pytest.mark.parametrize("step_size", [0.3, 0.9])
def test_the_covariance_follows_from_the_second_moment(step_size):
  """The step in mean parameters, done in float64 on E[v v^T], leaves the same covariance."""
  settings = {"utility": "threshold", "elites": 9, "step_size": step_size}
  search, state, plans, returns = problem(covariance="full", **settings)
  after = search.update(state, plans, returns)
  best = np.asarray(plans, np.float64)[np.argsort(-np.asarray(returns))[:9]].reshape(9, -1)
  old = np.asarray(state.mean, np.float64).ravel()
  second = np.asarray(state.covariance, np.float64) + np.outer(old, old)
  mean = (1 - step_size) * old + step_size * best.mean(0)
  second = (1 - step_size) * second + step_size * (best.T @ best) / 9
  np.testing.assert_allclose(after.mean.ravel(), mean, atol=1e-5)
  np.testing.assert_allclose(after.covariance, second - np.outer(mean, mean), atol=1e-4)

  search, state, plans, returns = problem(covariance="diagonal", **settings)
  diagonal = search.update(state, plans, returns).covariance
  best = np.asarray(plans, np.float64)[np.argsort(-np.asarray(returns))[:9]]
  mean = (1 - step_size) * np.asarray(state.mean) + step_size * best.mean(0)
  second = (1 - step_size) * np.asarray(state.covariance + jnp.square(state.mean))
  second = second + step_size * np.square(best).mean(0)
  np.testing.assert_allclose(diagonal, second - np.square(mean), atol=1e-4)


def test_the_covariance_stays_positive_semi_definite():
  search, state, *_ = problem(covariance="full", utility="threshold", elites=2, step_size=0.9)
  for i in range(20):
    plans = search.sample(state, jax.random.key(i), N)
    assert np.isfinite(plans).all()
    returns = -jnp.sum(jnp.square(plans), axis=(1, 2))
    state = search.update(state, plans, returns)
    assert np.linalg.eigvalsh(np.asarray(state.covariance, np.float64)).min() > -1e-5
    state = search.shift(state._replace(forget=jnp.float32(0.1)), 1)


def test_full_covariance_is_what_samples_have():
  search = mirror_descent(40_000, covariance="full", spread=0.05)
  state = search.init(LOW, HIGH)
  basis = jax.random.normal(jax.random.key(2), (H * A, H * A)) / 20
  state = state._replace(covariance=basis @ basis.T + 1e-3 * jnp.eye(H * A))
  rows = np.asarray(search.sample(state, jax.random.key(3), 40_000)).reshape(40_000, -1)
  np.testing.assert_allclose(np.cov(rows.T), state.covariance, atol=3e-3)


def test_monotone_changes_of_the_returns_do_not_move_the_elites():
  search, state, plans, returns = problem(utility="threshold", covariance="diagonal")
  a, b = (search.update(state, plans, r) for r in (returns, jnp.exp(3 * returns) - 50))
  np.testing.assert_array_equal(a.mean, b.mean)
  np.testing.assert_array_equal(a.covariance, b.covariance)


def test_constants_do_not_move_the_exponential_utility():
  search, state, plans, returns = problem(effective=0.2)
  a, b = (search.update(state, plans, r).mean for r in (returns, returns + 64.0))
  np.testing.assert_allclose(a, b, atol=1e-3)


def test_the_expected_utility_is_stochastic_gradient_ascent():
  search, state, plans, returns = problem(utility="expected", step_size=0.1)
  score = np.asarray(plans - state.mean, np.float64)
  centred = np.asarray(returns, np.float64) - np.asarray(returns, np.float64).mean()
  expected = np.asarray(state.mean) + 0.1 * (centred[:, None, None] * score).mean(0)
  np.testing.assert_allclose(search.update(state, plans, returns).mean, expected, atol=1e-5)
  # On average that is S times the gradient of the expected return.
  search = mirror_descent(200_000, utility="expected", step_size=0.5, spread=0.05)
  start = search.init(jnp.full((1, 1), -10.0), jnp.full((1, 1), 10.0))
  plans = search.sample(start, jax.random.key(0), 200_000)
  after = search.update(start, plans, 3.0 * plans[:, 0, 0])
  np.testing.assert_allclose(after.mean, [[0.5 * 3.0 * 0.5**2]], rtol=0.02)


def test_a_utility_of_ones_own():
  linear = lambda returns: jnp.maximum(returns, 0.0)
  search, state, plans, returns = problem(utility=linear)
  returns = returns.at[0].set(-jnp.inf)
  weights = np.maximum(np.asarray(returns), 0)
  expected = (weights[:, None, None] * np.asarray(plans)).sum(0) / weights.sum()
  np.testing.assert_allclose(search.update(state, plans, returns).mean, expected, atol=1e-5)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_the_shift_moves_the_covariance_along(covariance):
  search = mirror_descent(N, covariance=covariance, forget=0.0)
  state = search.init(LOW, HIGH)
  variances = jnp.arange(1.0, 1 + H * A)
  if covariance == "full":
    state = state._replace(covariance=jnp.diag(variances).at[0, 2].set(0.5).at[2, 3].set(0.25))
    after = search.shift(state, 1).covariance
    np.testing.assert_array_equal(np.diag(after), [3, 4, 5, 6, 7, 8, 7, 8])
    assert after[0, 1] == 0.25 and (after != 0).sum() == H * A + 1
  else:
    after = search.shift(state._replace(covariance=variances.reshape(H, A)), 2).covariance
    np.testing.assert_array_equal(after, [[5, 6], [7, 8], [7, 8], [7, 8]])
  forgetful = search.shift(state._replace(forget=jnp.float32(1.0)), 1).covariance
  np.testing.assert_allclose(forgetful, search.init(LOW, HIGH).covariance)
