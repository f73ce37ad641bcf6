"""Annealed MPPI against its equations in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.planners import dial

LOW, HIGH = jnp.full((5, 2), -30.0), jnp.full((5, 2), 10.0)
SETTINGS = {"noise_scale": 0.2, "iteration_decay": 0.5, "horizon_decay": 0.3}


def deviation(iteration):
  steps = np.arange(5.0)
  return 0.2 * 20.0 * 0.5**iteration * 0.3 ** ((4 - steps) / 4)


@pytest.mark.parametrize("iteration", [0, 2])
def test_noise_shrinks_with_iterations_and_towards_the_present(iteration):
  search = dial(8000, **SETTINGS)
  state = search.init(LOW, HIGH)
  for _ in range(iteration):
    state = search.update(state, jnp.zeros((3, 5, 2)), jnp.arange(3.0))
  mean = jnp.linspace(-1.0, 1.0, 10).reshape(5, 2)
  plans, _ = search.sample(state._replace(mean=mean), jax.random.key(0), 8000)
  np.testing.assert_array_equal(plans[-1], mean)
  std = np.asarray(plans).std(0)
  np.testing.assert_allclose(std, np.stack([deviation(iteration)] * 2, 1), rtol=0.05)


def test_shift_restarts_the_annealing():
  search = dial(**SETTINGS)
  state = search.init(LOW, HIGH)._replace(mean=jnp.arange(10.0).reshape(5, 2))
  annealed = state._replace(iteration=jnp.int32(7))
  after = search.shift(annealed, 2)
  assert after.iteration == 0
  np.testing.assert_array_equal(after.mean, [[4, 5], [6, 7], [8, 9], [8, 9], [8, 9]])


def test_weights_follow_from_the_standardised_returns():
  search = dial(40, temperature=0.3)
  state = search.init(LOW, HIGH)
  plans, state = search.sample(state, jax.random.key(0), 40)
  returns = 50.0 * jax.random.normal(jax.random.key(1), (40,)).at[4].set(-jnp.inf)
  mean = search.update(state, plans, returns).mean
  kept = np.arange(40) != 4
  r, v = np.asarray(returns, np.float64)[kept], np.asarray(plans, np.float64)[kept]
  weights = np.exp((r - r.max()) / r.std() / 0.3)
  expected = (weights[:, None, None] * v).sum(0) / weights.sum()
  np.testing.assert_allclose(mean, expected, rtol=1e-3, atol=1e-3)


def test_invariant_to_scale_and_origin_of_returns():
  search = dial(40)
  state = search.init(LOW, HIGH)
  plans, state = search.sample(state, jax.random.key(0), 40)
  returns = jax.random.normal(jax.random.key(1), (40,))
  a, b = (search.update(state, plans, r).mean for r in (returns, 64.0 * returns - 32.0))
  np.testing.assert_allclose(a, b, atol=1e-3)
  equal = search.update(state, plans, jnp.zeros(40)).mean
  np.testing.assert_allclose(equal, plans.mean(0), atol=1e-4)


def test_single_knot_has_the_full_deviation():
  search = dial(4000, **SETTINGS)
  state = search.init(LOW[:1], HIGH[:1])
  plans, state = search.sample(state, jax.random.key(0), 4000)
  np.testing.assert_allclose(np.asarray(plans).std(0), 0.2 * 20.0, rtol=0.05)
