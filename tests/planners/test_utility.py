"""Weights and temperatures for returns of any magnitude, against numpy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.planners import mirror_descent, mppi, pddm
from mbrl_jax.planners.utility import (
  boltzmann_weights,
  effective_sample_size,
  expected_coefficients,
  magnitude,
  softmax,
  solve_temperature,
  weigh_plans,
)

N = 64
BASE = np.random.default_rng(0).normal(size=N)
RETURNS = {f"{scale:.0e}": scale * BASE for scale in 10.0 ** np.arange(-36, 38, 8)} | {
  "far from zero": 1e9 + 1e3 * BASE,
  "all large": -4e37 * (1 + np.arange(N) % 8),
  "a cost outlier": np.where(np.arange(N) == 3, -1e38, BASE),
  "a reward outlier": np.where(np.arange(N) == 3, 1e38, BASE),
  "differences that overflow": np.linspace(-3e38, 3e38, N),
  "equal": np.full(N, 7e37),
  "one": np.where(np.arange(N) == 3, 5.0, -np.inf),
}
EQUAL = ("equal", "one")
every_return = pytest.mark.parametrize("returns", RETURNS.values(), ids=RETURNS)
weights_of, temperature_of = jax.jit(boltzmann_weights), jax.jit(solve_temperature)


def expected(returns, temperature, cost=0.0):
  returns = np.float64(returns)
  logits = (returns - returns.max()) / float(temperature) - cost
  weights = np.exp(logits - logits.max())
  return weights / weights.sum()


@every_return
def test_weights_equal_those_of_float64(returns):
  returns = np.float32(returns)
  value_range = max(np.ptp(np.float64(returns[np.isfinite(returns)])), 1e-30)
  for temperature in np.float32([1e-30, 0.01, 1.0, 1e30, 1e-3 * value_range, value_range / 8]):
    if temperature > 0:
      weights = weights_of(returns, temperature)
      np.testing.assert_allclose(weights, expected(returns, temperature), atol=3e-4)


@pytest.mark.parametrize("name", [name for name in RETURNS if name not in EQUAL])
def test_temperature_attains_the_target_effective_size(name):
  returns = np.float32(RETURNS[name])
  count = np.isfinite(returns).sum()
  for share in (0.1, 0.3):
    temperature = temperature_of(returns, np.float32(share))
    assert np.isfinite(temperature) and temperature > 0
    size = 1 / np.sum(np.square(expected(returns, temperature)))
    ties = np.sum(returns == returns.max())
    np.testing.assert_allclose(size, max(share * count, ties), rtol=2e-2)


@pytest.mark.parametrize("name", EQUAL)
def test_equal_returns_weigh_equally_at_the_temperature_of_any_size(name):
  returns = np.float32(RETURNS[name])
  finite = np.isfinite(returns)
  for share in (0.1, 0.3):
    temperature = temperature_of(returns, np.float32(share))
    assert np.isfinite(temperature) and temperature > 0
    weights = weights_of(returns, temperature)
    np.testing.assert_allclose(weights, finite / finite.sum(), rtol=1e-6)


@pytest.mark.parametrize("returns", [1e9 * BASE, np.linspace(-3e38, 3e38, N)])
def test_pddm_weights_of_large_returns_equal_those_of_float64(returns):
  search = pddm(N)
  state = search.init(-jnp.ones((3, 1)), jnp.ones((3, 1)))
  plans, state = search.sample(state, jax.random.key(0), N)
  for kappa in (10.0, 1e-9, 1e-38):
    tuned = state._replace(kappa=jnp.float32(kappa))
    mean = jax.jit(search.update)(tuned, plans, jnp.asarray(returns, jnp.float32)).mean
    # The smallest kappa underflows in float32: then all weights are equal.
    weights = expected(np.float32(returns), 1 / kappa) if kappa > 1e-37 else np.full(N, 1 / N)
    np.testing.assert_allclose(mean, np.einsum("n,nha->ha", weights, plans), atol=2e-3)


def test_softmax_of_large_logits_is_finite():
  logits = jnp.asarray([0.0, 1e3, 999.0])
  np.testing.assert_allclose(softmax(logits), expected(logits, 1.0), atol=1e-6)
  np.testing.assert_array_equal(softmax(jnp.asarray([-jnp.inf, 3e38])), [0.0, 1.0])


@pytest.mark.parametrize("control_cost", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_mppi_attains_the_target_effective_size_with_control_cost(control_cost, share):
  search = mppi(200, ess_fraction=share, control_cost=control_cost, noise_scale=0.5)
  state = search.init(jnp.full((5, 2), -1.0), jnp.full((5, 2), 1.0))
  state = state._replace(mean=0.1 * jax.random.normal(jax.random.key(1), (5, 2)))
  plans, state = search.sample(state, jax.random.key(0), 200)
  returns = -10 * jnp.sum(jnp.square(plans - 0.3), axis=(1, 2))
  after = search.update(state, plans, returns)
  gradient = np.float64(state.mean) / np.square(np.float64(state.std))
  cost = control_cost * np.einsum("nha,ha->n", np.float64(plans), gradient)
  weights = expected(returns, after.temperature, cost)
  np.testing.assert_allclose(1 / np.sum(np.square(weights)) / 200, share, rtol=0.02)
  np.testing.assert_allclose(after.ess / 200, share, rtol=0.02)


def test_unattainable_effective_size_gives_the_most_uniform_weights():
  """Two plans whose costs differ by 5 have equal weights if their returns compensate."""
  returns, cost = jnp.asarray([1.0, 0.0]), jnp.asarray([5.0, 0.0])
  temperature = solve_temperature(returns, jnp.float32(1.0), cost)
  np.testing.assert_allclose(temperature, 1 / 5, rtol=0.15)
  size = effective_sample_size(boltzmann_weights(returns, temperature, cost))
  assert size > 1.8
  hot = effective_sample_size(boltzmann_weights(returns, jnp.float32(1e6), cost))
  assert hot < 1.02


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e20, 3e37])
def test_expected_coefficients_at_any_scale(scale):
  returns = np.float32(scale * BASE).copy()
  returns[5] = -np.inf
  coefficients, unit = expected_coefficients(jnp.asarray(returns))
  kept = np.arange(N) != 5
  target = (np.float64(returns[kept]) - np.float64(returns[kept]).mean()) / (N - 1)
  found = np.float64(coefficients)[kept] * float(unit)
  np.testing.assert_allclose(found, target, rtol=1e-4, atol=1e-6 * scale)
  assert coefficients[5] == 0
  assert np.log2(float(unit)) % 1 == 0 and (unit == 1) == (1e-5 < scale < 1e12)


def test_equal_returns_have_zero_coefficients():
  for value in (3e38, -1.7e30, 0.0):
    coefficients, _ = expected_coefficients(jnp.full(50, value))
    np.testing.assert_array_equal(coefficients, 0.0)


def test_magnitude_is_a_power_of_two_and_one_for_ordinary_values():
  for value in (0.0, 1e-5, -1.0, 1e11):
    assert magnitude(jnp.asarray([value, -jnp.inf])) == 1.0
  for value in (1e-36, 1e-8, -1e13, 3.4e38):
    unit = float(magnitude(jnp.asarray([value, 0.0])))
    assert np.log2(unit) % 1 == 0 and 0.25 <= abs(value) / unit <= 4


def test_custom_utilities_may_overflow():
  plans = jnp.arange(4.0)[:, None, None]
  returns = jnp.asarray([1.0, 200.0, 300.0, -jnp.inf])
  floats = {"elites": 2, "temperature": jnp.float32(1), "ess_fraction": jnp.float32(0)}
  _, weights, _ = weigh_plans(jnp.exp, plans, returns, **floats)
  np.testing.assert_allclose(weights, [0.0, 0.5, 0.5, 0.0], atol=1e-6)


def test_step_of_the_expected_utility_is_clipped_and_finite():
  search = mirror_descent(8, utility="expected", elites=4)
  state = search.init(-jnp.ones((2, 1)), jnp.ones((2, 1)))
  plans, state = search.sample(state, jax.random.key(0), 8)
  after = search.update(state, plans, 3e38 * plans[:, 0, 0])
  assert after.mean[0, 0] == 1.0 and np.isfinite(after.mean).all()
