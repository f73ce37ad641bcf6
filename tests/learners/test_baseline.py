"""Baselines against numpy, and on returns that they can represent."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.learners.baseline import (
  linear_baseline,
  linear_features,
  network_baseline,
  network_features,
)


def rows(n=60, obs_dim=2, seed=0):
  rng = np.random.default_rng(seed)
  obs = rng.normal(0.0, 6.0, (n, obs_dim)).astype(np.float32)
  time = rng.integers(0, 300, n).astype(np.int32)
  returns = (3 * np.clip(obs[:, 0], -10, 10) - time / 100 + 5 + rng.normal(size=n)).astype(
    np.float32
  )
  return obs, time, returns, rng.uniform(size=n) < 0.7


def test_features_are_those_of_the_docstring():
  obs, time = jnp.array([[20.0, -3.0]]), jnp.array([500])
  network = network_features(obs, time)
  np.testing.assert_allclose(network, [[1.0, -0.3, 0.5, 0.25, 0.125, 0.0625]], rtol=1e-6)
  linear = linear_features(obs, time)
  np.testing.assert_allclose(linear, [[10, -3, 100, 9, 5, 25, 125, 1]], rtol=1e-6)


@pytest.mark.parametrize("ridge", [1e-5, 30.0])
def test_the_linear_baseline_solves_the_ridge_regression(ridge):
  baseline = linear_baseline(2, ridge=ridge)
  obs, time, returns, valid = rows()
  state = baseline.init(jax.random.key(0))
  assert (baseline.value(state, obs, time) == 0).all()
  poisoned = np.where(valid, returns, np.nan)
  state, metrics = jax.jit(baseline.fit)(state, obs, time, poisoned, valid, jax.random.key(1))
  x = np.float64(linear_features(jnp.asarray(obs), jnp.asarray(time)))[valid]
  y = np.float64(returns)[valid]
  weights = np.linalg.solve(x.T @ x + ridge * np.eye(8), x.T @ y)
  np.testing.assert_allclose(state.weights, weights, rtol=2e-3, atol=1e-4)
  values = np.float64(baseline.value(state, obs, time))[valid]
  np.testing.assert_allclose(values, x @ weights, rtol=1e-3, atol=1e-3)
  assert metrics["value_error_before"] == pytest.approx(1.0)
  after = np.square(y - values).mean() / np.square(y).mean()
  np.testing.assert_allclose(metrics["value_error_after"], after, rtol=1e-3)
  assert metrics["explained_variance"] == 0
  _, metrics = baseline.fit(state, obs, time, returns, valid, jax.random.key(1))
  want = 1 - np.var(y - values) / np.var(y)
  np.testing.assert_allclose(metrics["explained_variance"], want, rtol=1e-4)


def test_the_linear_baseline_handles_columns_that_depend_on_each_other():
  """Constant and repeated observations, and times of which only one occurs."""
  baseline = linear_baseline(4)
  obs, _, _, valid = rows(400)
  obs = np.concatenate([obs[:, :1], obs[:, :1], np.full((400, 1), 2.0), np.zeros((400, 1))], 1)
  obs, time = np.float32(obs), np.full(400, 900)
  returns = 1000 * obs[:, 0]
  state, _ = baseline.fit(
    baseline.init(jax.random.key(0)), np.clip(obs, -10, 10), time, np.clip(returns, -1e4, 1e4),
    valid, jax.random.key(1),
  )  # fmt: skip
  values = baseline.value(state, obs, time)
  np.testing.assert_allclose(values, np.clip(returns, -1e4, 1e4), atol=1.0)
  assert np.abs(state.weights).max() < 2000


def test_a_fit_of_the_network_is_adam_on_the_squared_error_with_an_l2_penalty():
  """One batch of all valid rows; Adam's first step is the rate times the gradient's sign."""
  baseline = network_baseline(2, hidden=(4,), learning_rate=0.01, weight_decay=0.5)
  obs, time, returns, valid = rows(20)
  state = baseline.init(jax.random.key(0))
  after, _ = baseline.fit(state, obs, time, returns, valid, jax.random.key(1))

  def loss(params):
    values = baseline.value(state._replace(params=params), obs[valid], time[valid])
    penalty = sum(jnp.sum(x**2) for x in jax.tree.leaves(params)) / 2
    return jnp.mean((values - returns[valid]) ** 2) + 0.5 * penalty

  gradient = jax.grad(loss)(state.params)
  want = jax.tree.map(lambda x, g: x - 0.01 * g / (jnp.abs(g) + 1e-8), state.params, gradient)
  chex.assert_trees_all_close(after.params, want, atol=1e-5)
  assert after.opt_state.count == 1


def test_every_valid_row_is_used_once_an_epoch():
  baseline = network_baseline(2, hidden=(4,), batch_size=8, epochs=3)
  obs, time, returns, valid = rows(50)
  state = baseline.init(jax.random.key(0))
  fit = jax.jit(baseline.fit)
  after, _ = fit(state, obs, time, returns, valid, jax.random.key(1))
  assert after.opt_state.count == 3 * -(-int(valid.sum()) // 8)
  none, _ = fit(state, obs, time, returns, np.zeros(50, bool), jax.random.key(1))
  chex.assert_trees_all_equal(none, state)
  poisoned = np.where(valid, returns, np.nan)
  same, _ = fit(state, obs, time, poisoned, valid, jax.random.key(1))
  chex.assert_trees_all_equal(same, after)
  other, _ = fit(state, obs, time, returns, valid, jax.random.key(2))
  assert (other.params["layer_0"]["kernel"] != after.params["layer_0"]["kernel"]).any()


def test_the_network_learns_returns_of_observation_and_time():
  baseline = network_baseline(2, hidden=(32, 32), batch_size=32, epochs=40, learning_rate=3e-3)
  obs, time, returns, valid = rows(300)
  state = baseline.init(jax.random.key(0))
  fit = jax.jit(baseline.fit)
  for i in range(3):
    state, metrics = fit(state, obs, time, returns, valid, jax.random.key(i))
  assert metrics["value_error_after"] < 0.05 < 0.5 < metrics["explained_variance"]


@pytest.mark.parametrize("make", [network_baseline, linear_baseline])
def test_values_batch_over_any_axes(make):
  baseline = make(2)
  obs, time, returns, valid = rows()
  state, _ = baseline.fit(
    baseline.init(jax.random.key(0)), obs, time, returns, valid, jax.random.key(1)
  )
  values = baseline.value(state, obs, time)
  assert values.shape == (60,) and values.dtype == jnp.float32
  np.testing.assert_allclose(
    baseline.value(state, obs.reshape(6, 10, 2), time.reshape(6, 10)).ravel(), values, rtol=1e-4
  )
  np.testing.assert_allclose(baseline.value(state, obs[3], time[3]), values[3], rtol=1e-4)


def test_sizes_that_are_not_positive_are_rejected():
  with pytest.raises(ValueError, match="batch_size=0 must be positive"):
    network_baseline(2, batch_size=0)
  with pytest.raises(ValueError, match="obs_dim=0 must be positive"):
    linear_baseline(0)
