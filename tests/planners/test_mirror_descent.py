"""Nine properties that define mirror descent, by letter, and details of the search.

The letters are those of the notes on dynamic mirror-descent MPC. Property (g), that
probabilities sum to one, is tested with the categorical search.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mbrl_jax.planners import cem, mirror_descent, mppi

H, A, N = 4, 2, 60
LOW, HIGH = jnp.full((H, A), -1.0), jnp.full((H, A), 2.0)


def problem(**settings):
  """Returns a search, a state that is not the initial one, and plans with their returns."""
  search = mirror_descent(N, **settings)
  state = search.init(LOW, HIGH)
  state = state._replace(mean=0.3 * jax.random.normal(jax.random.key(5), (H, A)))
  plans, state = search.sample(state, jax.random.key(0), N)
  return search, state, plans, jax.random.normal(jax.random.key(1), (N,))


def samples(mean, std, i):
  """Returns plans and returns of iteration ``i``, for the comparison of two searches."""
  plan_key, return_key = jax.random.split(jax.random.key(i))
  plans = mean + std * jax.random.normal(plan_key, (N, H, A))
  return jnp.clip(plans, LOW, HIGH), jax.random.normal(return_key, (N,))


@pytest.mark.parametrize("ess_fraction", [0.0, 0.1])
def test_a_gamma_one_with_the_exponential_utility_is_mppi_bit_for_bit(ess_fraction):
  settings = {"temperature": 0.7, "ess_fraction": ess_fraction}
  search, reference = mirror_descent(N, **settings), mppi(N, **settings)
  state, expected = search.init(LOW, HIGH), reference.init(LOW, HIGH)
  np.testing.assert_array_equal(jnp.sqrt(state.covariance), expected.std)
  for i in range(4):
    plans, returns = samples(state.mean, expected.std, i)
    state, expected = (
      search.update(state, plans, returns),
      reference.update(expected, plans, returns),
    )
    np.testing.assert_array_equal(state.mean, expected.mean)
    state, expected = search.shift(state, i), reference.shift(expected, i)
    np.testing.assert_array_equal(state.mean, expected.mean)


def test_b_gamma_one_with_the_threshold_utility_is_cem_bit_for_bit():
  settings = {"utility": "threshold", "covariance": "diagonal", "tail": "zero"}
  search, reference = mirror_descent(N, elites=7, **settings), cem(N, 7, alpha=0.0)
  state, expected = search.init(LOW, HIGH), reference.init(LOW, HIGH)
  for i in range(4):
    plans, returns = samples(expected.mean, jnp.sqrt(expected.variance), i)
    returns = returns.at[3].set(-jnp.inf)
    state, expected = (
      search.update(state, plans, returns),
      reference.update(expected, plans, returns),
    )
    np.testing.assert_array_equal(state.mean, expected.mean)
    np.testing.assert_array_equal(state.covariance, expected.variance)
    state, expected = search.shift(state, 1), reference.shift(expected, 1)
    np.testing.assert_array_equal(state.mean, expected.mean)
    np.testing.assert_array_equal(state.covariance, expected.variance)


@pytest.mark.parametrize("divergence", ["kl", "euclidean"])
@pytest.mark.parametrize("utility", ["exponential", "threshold", "expected"])
def test_c_gamma_zero_is_the_shifted_warm_start(utility, divergence):
  settings = {"utility": utility, "divergence": divergence, "step_size": 0.0}
  search, state, plans, returns = problem(**settings)
  after = search.shift(search.update(state, plans, returns), 1)
  np.testing.assert_array_equal(after.mean, jnp.concatenate([state.mean[1:], state.mean[-1:]]))
  np.testing.assert_array_equal(after.covariance, state.covariance)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_c_gamma_zero_keeps_a_learnt_covariance(covariance):
  search, state, plans, returns = problem(covariance=covariance, step_size=0.0)
  after = search.update(state, plans, returns)
  np.testing.assert_array_equal(after.covariance, state.covariance)


def test_d_limits_of_the_temperature_are_the_best_plan_and_the_average():
  search, state, plans, returns = problem(temperature=1e-6, ess_fraction=0.0)
  greedy = search.update(state, plans, returns).mean
  np.testing.assert_allclose(greedy, plans[jnp.argmax(returns)], atol=1e-6)
  search, state, plans, returns = problem(temperature=1e6, ess_fraction=0.0)
  average = search.update(state, plans, returns).mean
  np.testing.assert_allclose(average, plans.mean(0), atol=1e-5)


def test_e_exponential_utility_is_invariant_to_constants():
  search, state, plans, returns = problem(ess_fraction=0.2)
  a, b = (search.update(state, plans, r).mean for r in (returns, returns + 64.0))
  np.testing.assert_allclose(a, b, atol=1e-3)


def test_e_threshold_utility_is_invariant_to_monotone_transforms():
  search, state, plans, returns = problem(utility="threshold", covariance="diagonal")
  a, b = (search.update(state, plans, r) for r in (returns, jnp.exp(3 * returns) - 50))
  np.testing.assert_array_equal(a.mean, b.mean)
  np.testing.assert_array_equal(a.covariance, b.covariance)


def test_f_covariance_stays_positive_semi_definite():
  search, state, *_ = problem(covariance="full", utility="threshold", elites=2, step_size=0.9)
  sample = jax.jit(lambda state, key: search.sample(state, key, N))
  for i in range(20):
    plans, state = sample(state, jax.random.key(i))
    assert np.isfinite(plans).all()
    returns = -jnp.sum(jnp.square(plans), axis=(1, 2))
    state = search.update(state, plans, returns)
    assert np.linalg.eigvalsh(np.asarray(state.covariance, np.float64)).min() > -1e-5
    state = search.shift(state._replace(forget=jnp.float32(0.1)), 1)


def test_h_quadratic_return_converges_to_the_tilted_gaussian():
  """Tilting N(0, s^2) by exp(-(v - c)^2 / (2 T)) gives mean c s^2 / (s^2 + T); steps by g."""
  scale = {"temperature": 0.5, "ess_fraction": 0.0, "noise_scale": 0.1}
  search = mirror_descent(200_000, covariance="diagonal", step_size=0.6, **scale)
  state = search.init(jnp.full((1, 1), -10.0), jnp.full((1, 1), 10.0))
  plans, state = search.sample(state, jax.random.key(0), 200_000)
  after = search.update(state, plans, -0.5 * jnp.square(plans[:, 0, 0] - 1.0))
  tilted, variance = 1.0 / (1.0 + 0.5), 0.5 / (1.0 + 0.5)
  np.testing.assert_allclose(after.mean, [[0.6 * tilted]], atol=0.01)
  mixed = 0.4 * 1.0 + 0.6 * variance + 0.6 * 0.4 * tilted**2
  np.testing.assert_allclose(after.covariance, [[mixed]], atol=0.02)


def log_density(mean, variance, plans):
  """Returns the Gaussian's log density at each plan, up to a constant."""
  return -0.5 * jnp.sum(jnp.square(plans - mean) / variance, axis=(1, 2))


def test_i_expected_utility_with_the_euclidean_divergence_is_a_step_of_sgd():
  settings = {"utility": "expected", "divergence": "euclidean", "step_size": 0.02}
  search, state, plans, returns = problem(**settings)
  after = search.update(state, plans, returns.at[3].set(-jnp.inf)).mean

  kept = np.arange(N) != 3  # a plan without a finite return is ignored
  advantage = (returns - returns[kept].mean())[kept]
  loss = lambda u: -jnp.mean(advantage * log_density(u, state.covariance, plans[kept]))
  sgd = optax.sgd(0.02)
  steps, _ = sgd.update(jax.grad(loss)(state.mean), sgd.init(state.mean))
  np.testing.assert_allclose(after, optax.apply_updates(state.mean, steps), atol=1e-5)


def test_i_other_utilities_with_the_euclidean_divergence_are_sgd_on_their_loss():
  """Of -log mean U(R) over plans drawn from the Gaussian, by importance weights."""
  settings = {"temperature": 0.8, "ess_fraction": 0.0, "step_size": 0.05}
  search, state, plans, returns = problem(divergence="euclidean", **settings)
  density = lambda u: log_density(u, state.covariance, plans)

  def loss(u):
    ratio = jnp.exp(density(u) - jax.lax.stop_gradient(density(u)))
    return -jnp.log(jnp.mean(ratio * jnp.exp(returns / 0.8)))

  expected = state.mean - 0.05 * jax.grad(loss)(state.mean)
  np.testing.assert_allclose(search.update(state, plans, returns).mean, expected, atol=1e-5)


def test_i_expected_utility_under_kl_is_the_natural_gradient():
  """In expectation, the variance times the gradient of the expected return."""
  search = mirror_descent(200_000, utility="expected", step_size=0.5, noise_scale=0.05)
  start = search.init(jnp.full((1, 1), -10.0), jnp.full((1, 1), 10.0))
  plans, _ = search.sample(start, jax.random.key(0), 200_000)
  after = search.update(start, plans, 3.0 * plans[:, 0, 0])
  np.testing.assert_allclose(after.mean, [[0.5 * 3.0 * 0.5**2]], rtol=0.02)


@pytest.mark.parametrize("step_size", [0.3, 0.9])
def test_the_covariance_follows_from_the_second_moment(step_size):
  """The step in mean parameters, in float64 on E[v v^T], gives the same covariance."""
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


def test_samples_have_the_full_covariance():
  search = mirror_descent(40_000, covariance="full", noise_scale=0.05)
  state = search.init(LOW, HIGH)
  basis = jax.random.normal(jax.random.key(2), (H * A, H * A)) / 20
  state = state._replace(covariance=basis @ basis.T + 1e-3 * jnp.eye(H * A))
  plans, _ = search.sample(state, jax.random.key(3), 40_000)
  flat = np.asarray(plans).reshape(40_000, -1)
  np.testing.assert_allclose(np.cov(flat.T), state.covariance, atol=3e-3)


def test_custom_utility():
  linear = lambda returns: jnp.maximum(returns, 0.0)
  search, state, plans, returns = problem(utility=linear)
  returns = returns.at[0].set(-jnp.inf)
  weights = np.maximum(np.asarray(returns), 0)
  expected = (weights[:, None, None] * np.asarray(plans)).sum(0) / weights.sum()
  np.testing.assert_allclose(search.update(state, plans, returns).mean, expected, atol=1e-5)
  # If all utilities are zero, plans with a finite return have equal weights.
  useless = search.update(state, plans, jnp.full(N, -1.0).at[0].set(-jnp.inf))
  np.testing.assert_allclose(useless.mean, plans[1:].mean(0), atol=1e-5)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_shift_shifts_the_covariance(covariance):
  search = mirror_descent(N, covariance=covariance, forget=0.0)
  state = search.init(LOW, HIGH)
  variances = jnp.arange(1.0, 1 + H * A)
  if covariance == "full":
    state = state._replace(covariance=jnp.diag(variances).at[0, 2].set(0.5).at[2, 3].set(0.25))
    after = search.shift(state, 1).covariance
    np.testing.assert_array_equal(np.diag(after), [3, 4, 5, 6, 7, 8, 7, 8])
    assert after[0, 1] == 0.25 and (after != 0).sum() == H * A + 1
    np.testing.assert_array_equal(search.shift(state, 0).covariance, state.covariance)
    np.testing.assert_array_equal(np.diag(search.shift(state, H).covariance), [7, 8] * H)
  else:
    after = search.shift(state._replace(covariance=variances.reshape(H, A)), 2).covariance
    np.testing.assert_array_equal(after, [[5, 6], [7, 8], [7, 8], [7, 8]])
  reset = search.shift(state._replace(forget=jnp.float32(1.0)), 1).covariance
  np.testing.assert_allclose(reset, search.init(LOW, HIGH).covariance)


def test_tail_repeats_the_last_action_or_is_zero():
  for tail, appended in (("repeat", [6.0, 7.0]), ("zero", [0.5, 0.5])):
    search = mirror_descent(N, tail=tail)
    state = search.init(jnp.full((H, A), 0.5), jnp.full((H, A), 9.0))
    state = state._replace(mean=jnp.arange(8.0).reshape(H, A))
    mean = search.shift(state, 2).mean
    np.testing.assert_array_equal(mean, [[4, 5], [6, 7], appended, appended])
