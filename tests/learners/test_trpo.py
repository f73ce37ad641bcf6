"""TRPO's trust region, its line search, and problems with known solutions."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from policy_gradient_cases import BASELINES, POLICY, trajectories

from mbrl_jax.learners import (
  NPGHyperparams,
  TRPOHyperparams,
  make_npg,
  make_trpo,
)


def begun(baseline="linear", hyperparams=None, **options):
  trpo = make_trpo(POLICY, BASELINES[baseline], **options)
  return trpo, trpo.init(jax.random.key(0), hyperparams or TRPOHyperparams())


@pytest.mark.parametrize("max_kl", [0.002, 0.05, 1.0])
def test_steps_improve_the_surrogate_within_the_trust_region(max_kl):
  trpo, state = begun(hyperparams=TRPOHyperparams(max_kl=max_kl))
  update = jax.jit(trpo.update)
  for seed in range(4):
    before = state.params
    batch = trajectories(state, seed=seed)
    state, metrics = update(state, batch, jax.random.key(seed))
    assert metrics["refused"] == 0 and metrics["surrogate_improvement"] > 0
    kl = POLICY.kl(before, state.params, batch.obs[batch.valid]).mean()
    np.testing.assert_allclose(metrics["kl"], kl, rtol=1e-3)
    assert 0.3 * max_kl < metrics["kl"] <= max_kl
    assert abs(metrics["surrogate_before"]) < 1e-5  # advantages of mean 0, ratios of 1


def test_the_surrogate_is_the_mean_importance_weighted_advantage():
  trpo, state = begun(hyperparams=TRPOHyperparams(discount=0.0, gae_lambda=0.0))
  batch = trajectories(state)
  after, metrics = trpo.update(state, batch, jax.random.key(1))
  valid = np.asarray(batch.valid)
  reward = np.asarray(batch.reward)[valid]  # values are 0 before the first fit
  advantage = (reward - reward.mean()) / reward.std()
  log_prob = lambda s: np.asarray(POLICY.log_prob(s.params, batch.obs, batch.action))[valid]
  ratio = np.exp(log_prob(after) - log_prob(state))
  np.testing.assert_allclose(metrics["surrogate_after"], np.mean(ratio * advantage), rtol=1e-3)


def test_the_full_step_is_that_of_npg_with_twice_the_step_size():
  """Both at the same damping, converged: ``alpha = sqrt(2 delta / g^T x)``."""
  options = {"damping": 1e-2, "min_log_std": -9.0, "max_log_std": 9.0}
  floats = {"discount": 0.9, "gae_lambda": 0.9, **options}
  trpo, state = begun(
    hyperparams=TRPOHyperparams(max_kl=0.01, **floats), cg_iterations=60, line_search_trials=1
  )
  batch = trajectories(state)
  after, metrics = trpo.update(state, batch, jax.random.key(1))
  npg = make_npg(POLICY, BASELINES["linear"], cg_iterations=60)
  other = npg.init(jax.random.key(0), NPGHyperparams(step_size=0.02, **floats))
  want, _ = npg.update(other, batch, jax.random.key(1))
  assert metrics["backtracks"] == metrics["refused"] == 0
  chex.assert_trees_all_close(after.params, want.params, atol=1e-3)


def test_steps_are_shortened_by_the_line_search_or_refused():
  wild = trajectories(begun()[1], n=2, length=6)  # few samples
  for trials, refused in ((15, 0), (1, 1)):
    floats = TRPOHyperparams(max_kl=20.0, shrink=0.5)
    trpo, state = begun(hyperparams=floats, line_search_trials=trials)
    after, metrics = trpo.update(state, wild, jax.random.key(1))
    assert metrics["refused"] == after.refused == refused
    moved = jax.tree.map(lambda a, b: (a != b).any(), after.params, state.params)
    assert moved.log_std == (not refused)
    if refused:
      chex.assert_trees_all_equal(after.params, state.params)
      assert metrics["kl"] == 0
      assert (after.baseline.weights != state.baseline.weights).any()  # which still learns
    else:
      assert metrics["backtracks"] > 0 and metrics["kl"] <= 20.0


def test_a_forced_step_is_the_shortest_one_tried():
  """Whatever its divergence; a step with numbers that are not finite is never taken."""
  wild = trajectories(begun()[1], n=2, length=6)
  floats = TRPOHyperparams(max_kl=20.0, shrink=0.5, accept_fraction=9.0, damping=0.1)
  trpo, state = begun(hyperparams=floats, line_search_trials=3)
  update = jax.jit(trpo.update)
  full = make_trpo(POLICY, BASELINES["linear"], line_search_trials=1).update
  whole, _ = full(state, wild, jax.random.key(1), True)
  forced, metrics = update(state, wild, jax.random.key(1), True)
  assert metrics["refused"] == forced.refused == 0 and metrics["backtracks"] == 2
  moved = lambda new: jax.tree.map(lambda a, b: a - b, new.params.net, state.params.net)
  quarter = jax.tree.map(lambda x: 0.25 * x, moved(whole))
  chex.assert_trees_all_close(moved(forced), quarter, atol=1e-3)
  kl = POLICY.kl(state.params, forced.params, wild.obs[wild.valid]).mean()
  np.testing.assert_allclose(metrics["kl"], kl, rtol=1e-3)
  kept, metrics = update(state, wild, jax.random.key(1), False)
  assert metrics["refused"] == 1 and metrics["kl"] == 0
  chex.assert_trees_all_equal(kept.params, state.params)
  broken = wild._replace(reward=jnp.full_like(wild.reward, jnp.nan))
  kept, metrics = update(state, broken, jax.random.key(1), True)
  assert metrics["refused"] == 1
  chex.assert_trees_all_equal(kept.params, state.params)


def test_a_step_must_exceed_the_required_fraction_of_the_expected_improvement():
  """The improvement is close to, but never above, twice the linear one."""
  for fraction, refused in ((0.1, 0), (2.0, 1)):
    trpo, state = begun(hyperparams=TRPOHyperparams(max_kl=1e-3, accept_fraction=fraction))
    _, metrics = trpo.update(state, trajectories(state), jax.random.key(1))
    assert metrics["refused"] == refused


def test_without_an_advantage_the_policy_stays():
  trpo, state = begun()
  batch = trajectories(state)
  batch = batch._replace(reward=jnp.ones_like(batch.reward), terminated=batch.valid)
  after, metrics = trpo.update(state, batch, jax.random.key(1))
  assert metrics["refused"] == 1 and metrics["gradient_norm"] == 0
  chex.assert_trees_all_equal(after.params, state.params)


def test_sizes_that_are_not_positive_are_rejected():
  with pytest.raises(ValueError, match="line_search_trials=0 must be positive"):
    make_trpo(POLICY, BASELINES["linear"], line_search_trials=0)
