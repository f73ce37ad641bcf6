"""Augmented random search against numpy, and on a problem with a known optimum."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.learners.ars import make_ars

LOW, HIGH = np.float32([-2.0, -1.0]), np.float32([2.0, 3.0])


def test_an_update_matches_numpy():
  ars = make_ars(3, LOW, HIGH, directions=5, top=2, step_size=0.3, noise=0.1)
  state = ars.init(jax.random.key(0))
  rng = np.random.default_rng(0)
  seen = rng.normal(2.0, 3.0, (40, 3)).astype(np.float32)
  for obs in seen:
    state = ars.observe(state, obs)
  start = rng.normal(size=(2, 3)).astype(np.float32)
  state = state._replace(policy=state.policy._replace(weights=jnp.asarray(start)))
  returns = np.float32([[1, 2], [9, 3], [0, 0], [4, -7], [-1, 8]])
  after, _ = jax.jit(ars.update)(state, returns, jax.random.key(1))

  d = np.asarray(state.directions)
  sigma = np.std([9, 3, -1, 8])
  want = start + 0.3 / (2 * sigma) * ((9 - 3) * d[1] + (-1 - 8) * d[4])
  np.testing.assert_allclose(after.policy.weights, want, rtol=1e-5)
  np.testing.assert_allclose(after.policy.scaling.mean, seen.mean(0), rtol=1e-4)
  np.testing.assert_allclose(after.policy.scaling.scale, seen.std(0), rtol=1e-4)
  assert (np.asarray(after.directions) != d).all()
  np.testing.assert_allclose(ars.perturbed(state, 2).weights, start + 0.1 * d[1], rtol=1e-5)
  np.testing.assert_allclose(ars.perturbed(state, 3).weights, start - 0.1 * d[1], rtol=1e-5)

  unit = np.clip(want @ ((seen[0] - seen.mean(0)) / seen.std(0)), -1, 1)
  action = LOW + (unit + 1) / 2 * (HIGH - LOW)
  np.testing.assert_allclose(ars.act(after.policy, seen[0]), action, atol=1e-3)


def test_finds_the_best_linear_policy():
  best = jnp.array([[0.3, -0.2, 0.1], [0.0, 0.4, -0.3]])
  ars = make_ars(3, LOW, HIGH, step_size=0.02, noise=0.03)
  score = lambda policy: -jnp.square(policy.weights - best).sum()

  def body(state, key):
    trials = jax.vmap(lambda i: score(ars.perturbed(state, i)))(jnp.arange(16))
    return ars.update(state, trials.reshape(8, 2), key)[0], None

  state = ars.init(jax.random.key(0))
  keys = jax.random.split(jax.random.key(1), 300)
  state = jax.jit(lambda s: jax.lax.scan(body, s, keys)[0])(state)
  np.testing.assert_allclose(state.policy.weights, best, atol=0.1)


def test_more_top_directions_than_directions_are_rejected():
  with pytest.raises(ValueError, match="top=5 must lie between 1 and 4"):
    make_ars(3, LOW, HIGH, directions=4, top=5)


def test_non_finite_states_and_returns_are_ignored():
  ars = make_ars(2, [-1.0], [1.0], directions=3, top=2, step_size=0.1, noise=0.1)
  clean = noisy = ars.init(jax.random.key(0))
  for row in ([1.0, 2.0], [3.0, -1.0]):
    clean, noisy = ars.observe(clean, jnp.array(row)), ars.observe(noisy, jnp.array(row))
    noisy = ars.observe(noisy, jnp.array([jnp.nan, 0.0]))
  chex.assert_trees_all_equal(clean, noisy)
  returns = np.float32([[5.0, 1.0], [np.nan, 99.0], [2.0, 3.0]])
  updated, metrics = ars.update(clean, jnp.asarray(returns), jax.random.key(1))
  finite = np.float32([[5.0, 1.0], [2.0, 3.0]])
  directions = clean.directions[np.array([0, 2])]
  gradient = np.einsum("n,nao->ao", finite[:, 0] - finite[:, 1], directions)
  expected = 0.1 / (2 * finite.std()) * gradient
  np.testing.assert_allclose(updated.policy.weights, expected, rtol=1e-5)
  assert np.isfinite(metrics["return_of_trials"])
  unchanged, _ = ars.update(clean, jnp.full((3, 2), jnp.inf), jax.random.key(1))
  np.testing.assert_array_equal(unchanged.policy.weights, clean.policy.weights)


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1e9, 1e25, 1e38])
def test_updates_are_invariant_to_the_scale_of_returns(scale):
  ars = make_ars(2, [-1.0], [1.0], directions=3, top=2, step_size=0.1, noise=0.1)
  state, update = ars.init(jax.random.key(0)), jax.jit(ars.update)
  returns = np.float32([[0.5, 0.1], [0.3, -0.9], [0.2, 0.7]])
  expected, metrics = update(state, returns, jax.random.key(1))
  updated, scaled = update(state, returns * np.float32(scale), jax.random.key(1))
  assert abs(expected.policy.weights).max() > 0.01
  np.testing.assert_allclose(updated.policy.weights, expected.policy.weights, rtol=1e-5)
  for name in metrics:
    np.testing.assert_allclose(scaled[name] / np.float32(scale), metrics[name], rtol=1e-5)


def test_states_with_an_overflowing_square_are_ignored():
  ars = make_ars(2, [-1.0], [1.0])
  state = ars.observe(ars.init(jax.random.key(0)), jnp.array([1.0, 2.0]))
  after = ars.observe(state, jnp.array([1e25, 0.0]))
  chex.assert_trees_all_equal(after, state)
