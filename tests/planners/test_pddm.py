"""PDDM against its equations in a numpy loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.planners import pddm

LOW, HIGH = jnp.full((5, 2), -3.0), jnp.full((5, 2), 5.0)


@pytest.mark.parametrize("as_released", [False, True])
def test_samples_follow_the_filter_equations(as_released):
  search = pddm(20, beta=0.3, noise_scale=0.2, as_released=as_released)
  mean = jax.random.normal(jax.random.key(1), (5, 2))
  state = search.init(LOW, HIGH)._replace(mean=mean, previous=jnp.array([0.5, -0.5]))
  plans = np.asarray(search.sample(state, jax.random.key(0), 20)[0])
  noise = 0.2 * 4.0 * np.asarray(jax.random.normal(jax.random.key(0), (20, 5, 2)), np.float64)
  for i in range(20):
    last = np.array([0.5, -0.5]) if as_released else np.zeros(2)
    for t in range(5):
      raw = noise[i, t] + (mean[t] if as_released else 0.0)
      last = 0.3 * raw + 0.7 * last
      action = last if as_released else mean[t] + last
      np.testing.assert_allclose(plans[i, t], np.clip(action, -3, 5), atol=1e-5)


def test_mean_is_weighted_by_exponentiated_returns():
  search = pddm(30, kappa=2.0)
  state = search.init(LOW, HIGH)
  plans, state = search.sample(state, jax.random.key(0), 30)
  returns = jax.random.normal(jax.random.key(1), (30,)).at[4].set(-jnp.inf)
  weights = np.exp(2.0 * np.asarray(returns, np.float64))
  expected = (weights[:, None, None] * np.asarray(plans)).sum(0) / weights.sum()
  np.testing.assert_allclose(search.update(state, plans, returns).mean, expected, atol=1e-5)


def test_shift_keeps_the_last_executed_action():
  search = pddm()
  state = search.init(LOW, HIGH)._replace(mean=jnp.arange(10.0).reshape(5, 2))
  shifted = search.shift(state, 2)
  np.testing.assert_array_equal(shifted.previous, [2, 3])
  np.testing.assert_array_equal(shifted.mean, [[4, 5], [6, 7], [8, 9], [8, 9], [8, 9]])


def test_beta_above_one_is_rejected():
  with pytest.raises(ValueError, match=r"beta=1.5 must lie between 0.0 and 1.0"):
    pddm(beta=1.5)
