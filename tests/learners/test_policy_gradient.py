"""What NPG and TRPO share: refused steps, padding, targets, x64; probe environments."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from policy_gradient_cases import BASELINES, OBS, POLICY, poison, trajectories
from probe_envs import DISCOUNT, PROBES, check, train

from mbrl_jax.learners import (
  NPGHyperparams,
  TRPOHyperparams,
  linear_baseline,
  make_npg,
  make_trpo,
  network_baseline,
)
from mbrl_jax.learners.policy_gradient import make_policy_gradient
from mbrl_jax.networks.gaussian_policy import make_gaussian_policy

LEARNERS = {"npg": (make_npg, NPGHyperparams), "trpo": (make_trpo, TRPOHyperparams)}
each_learner = pytest.mark.parametrize("name", LEARNERS)


def begun(name, baseline="linear", options=None, **hyperparams):
  """Returns a learner and its initial state."""
  make, record = LEARNERS[name]
  learner = make(POLICY, BASELINES[baseline], **(options or {}))
  return learner, learner.init(jax.random.key(0), record(**hyperparams))


@each_learner
@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("value", [jnp.nan, pytest.param(jnp.inf, marks=pytest.mark.slow)])
def test_with_a_non_finite_step_policy_and_baseline_stay(name, baseline, value):
  learner, state = begun(name, baseline)
  update = jax.jit(learner.update)
  batch = trajectories(state)
  want, _ = update(state, batch, jax.random.key(1))
  for i, field in enumerate(("obs", "action", "reward", "next_obs")):
    bad = poison(batch, field, value, True)
    after, metrics = update(state, bad, jax.random.key(1))
    chex.assert_trees_all_equal(after._replace(refused=state.refused), state)
    assert after.refused == metrics["refused"] == metrics["nonfinite_rows"] == 1, field
    assert metrics["kl"] == metrics["alpha"] == metrics["surrogate_improvement"] == 0
    chex.assert_tree_all_finite(metrics)
    if i == 0:
      then, metrics = update(after, batch, jax.random.key(1))
      chex.assert_trees_all_equal(then._replace(refused=want.refused), want)
      assert metrics["refused"] == want.refused == 0 and then.refused == 1


@pytest.mark.slow
@each_learner
@pytest.mark.parametrize("baseline", BASELINES)
def test_an_overflowing_return_changes_nothing(name, baseline):
  learner, state = begun(name, baseline)
  batch = poison(trajectories(state), "reward", 3e38, True)
  after, metrics = learner.update(state, batch, jax.random.key(1))
  assert metrics["nonfinite_rows"] == 0 and after.refused == 1
  chex.assert_trees_all_equal(after.params, state.params)
  chex.assert_tree_all_finite(after.baseline)


@each_learner
def test_padding_and_observations_after_a_termination_do_not_matter(name):
  learner, state = begun(name, "network")
  update = jax.jit(learner.update)
  batch = trajectories(state)
  want, expected = update(state, batch, jax.random.key(1))
  dirty = batch
  for field in ("obs", "action", "reward", "next_obs"):
    dirty = poison(dirty, field, jnp.nan, False)
  flags = {end: getattr(batch, end) | ~batch.valid for end in ("terminated", "truncated")}
  ended = batch.terminated[..., None]
  dirty = dirty._replace(**flags, next_obs=jnp.where(ended, jnp.nan, dirty.next_obs))
  got, metrics = update(state, dirty, jax.random.key(1))
  chex.assert_trees_all_equal(got, want)
  chex.assert_trees_all_equal(metrics, expected)
  nothing = batch._replace(valid=jnp.zeros_like(batch.valid))
  after, metrics = update(state, nothing, jax.random.key(1))
  assert metrics["refused"] == 1
  chex.assert_trees_all_equal(after.params, state.params)


@pytest.mark.slow
@each_learner
def test_longer_padding_changes_only_rounding(name):
  learner, state = begun(name, damping=0.1)
  batch = trajectories(state)
  pad = lambda x: jnp.pad(x, ((0, 3), (0, 5)) + ((0, 0),) * (x.ndim - 2))
  want, _ = learner.update(state, batch, jax.random.key(1))
  got, _ = learner.update(state, jax.tree.map(pad, batch), jax.random.key(1))
  chex.assert_trees_all_close(got.params, want.params, atol=5e-4)
  chex.assert_trees_all_close(got.baseline, want.baseline, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["monte_carlo", "lambda_return"])
def test_targets_bootstrap_where_truncated_if_they_are_lambda_returns(target):
  """All values are 7 and rewards 1, so the targets are 1 or ``1 + 0.5 * 7``."""
  learner, state = begun("npg", options={"value_target": target}, discount=0.5, gae_lambda=1.0)
  weights = jnp.zeros_like(state.baseline.weights).at[-1].set(7.0)
  state = state._replace(baseline=state.baseline._replace(weights=weights))
  batch = trajectories(state)
  batch = batch._replace(reward=jnp.ones_like(batch.reward))
  every, none = jnp.ones_like(batch.valid), jnp.zeros_like(batch.valid)
  value = lambda s: BASELINES["linear"].value(s.baseline, batch.obs[0, 0], 0)
  cut = batch._replace(truncated=every, terminated=none)
  after, _ = learner.update(state, cut, jax.random.key(1))
  assert value(after) == pytest.approx(4.5 if target == "lambda_return" else 1.0, abs=1e-3)
  over = batch._replace(truncated=none, terminated=every)
  after, _ = learner.update(state, over, jax.random.key(1))
  assert value(after) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.slow
@each_learner
def test_update_traces_once_and_vmaps_over_hyperparams(name):
  chex.clear_trace_counter()
  make, record = LEARNERS[name]
  learner = make(POLICY, BASELINES["linear"])
  update = jax.jit(chex.assert_max_traces(learner.update, n=1))
  discounts = jnp.array([0.5, 0.9])
  init = lambda x: learner.init(jax.random.key(0), record(discount=x, damping=0.1))
  batch = trajectories(init(0.1))
  vmapped = jax.jit(jax.vmap(learner.update, (0, None, None)))
  many, _ = vmapped(jax.vmap(init)(discounts), batch, jax.random.key(1))
  for i, discount in enumerate(discounts):
    one, _ = update(init(discount), batch, jax.random.key(1))
    row = jax.tree.map(lambda x, i=i: x[i], many.params)
    chex.assert_trees_all_close(row, one.params, atol=1e-3)
  assert (many.params.log_std[0] != many.params.log_std[1]).all()
  update(one, batch, jax.random.key(2))


@pytest.mark.slow
@pytest.mark.parametrize("name, baseline", [("npg", "network"), ("trpo", "linear")])
def test_x64_changes_no_width_and_no_number(name, baseline):
  learner, state = begun(name, baseline)
  batch = trajectories(state)
  want = learner.update(state, batch, jax.random.key(1))
  with jax.enable_x64(True):
    widen = lambda x: np.asarray(x, np.float64 if x.dtype == np.float32 else x.dtype)
    fresh = learner.init(jax.random.key(0), LEARNERS[name][1]())
    got = learner.update(fresh, jax.tree.map(widen, batch), jax.random.key(1))
  chex.assert_trees_all_equal_dtypes(got, want)
  chex.assert_trees_all_equal(got, want)


def test_greedy_actions_are_the_mean():
  learner, state = begun("npg")
  obs, key = jnp.ones(OBS), jax.random.key(3)
  mean, sample = POLICY.mean(state.params, obs), POLICY.sample(state.params, obs, key)
  chex.assert_trees_all_equal(learner.act(state.params, obs, key, True), mean)
  chex.assert_trees_all_equal(learner.act(state.params, obs, key, False), sample)
  assert (mean != sample).all()


PROBE_BASELINES = {
  "network": network_baseline(1, hidden=(32,), batch_size=64, epochs=4, learning_rate=1e-2),
  "linear": linear_baseline(1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name, baseline", [("npg", "network"), ("trpo", "linear")])
@pytest.mark.parametrize("probe", PROBES)
def test_probe_environments_are_solved(probe, name, baseline):
  make, record = LEARNERS[name]
  policy, values = make_gaussian_policy(1, 1, hidden=(16,)), PROBE_BASELINES[baseline]
  learner = make(policy, values)
  floats = record(discount=DISCOUNT, gae_lambda=0.97, min_log_std=-2.5)
  state = learner.init(jax.random.key(0), floats)
  state, metrics = train(
    PROBES[probe], policy, learner, state, jax.random.key(1), updates=60, episodes=128
  )
  check(PROBES[probe], policy, values, state, metrics)
  assert (metrics["kl"] <= jnp.float32(0.051)).all()


def test_an_unknown_target_is_rejected():
  with pytest.raises(ValueError, match=r"value_target='td'.*'lambda_return'"):
    make_policy_gradient(POLICY, BASELINES["linear"], None, "td")
