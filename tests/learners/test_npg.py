"""NPG against dense algebra in numpy, and on problems with known solutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from policy_gradient_cases import BASELINES, POLICY, trajectories
from probe_envs import DISCOUNT, PROBES, rollout

from mbrl_jax.learners import NPGHyperparams, linear_baseline, make_npg
from mbrl_jax.networks.gaussian_policy import make_gaussian_policy
from mbrl_jax.ops.returns import generalized_advantages


def begun(baseline="linear", hyperparams=None, **options):
  npg = make_npg(POLICY, BASELINES[baseline], **options)
  return npg, npg.init(jax.random.key(0), hyperparams or NPGHyperparams())


def advantages_of(state, batch, baseline):
  """Standardised advantages ``[N, T]`` in numpy, from ``ops.returns``."""
  of = jax.vmap(
    lambda *row: generalized_advantages(
      *row, discount=state.hyperparams.discount, lam=state.hyperparams.gae_lambda
    )
  )
  values = baseline.value(state.baseline, batch.obs, batch.time)
  after = baseline.value(state.baseline, batch.next_obs, batch.time + 1)
  ends = batch.terminated, batch.truncated
  raw = np.asarray(of(batch.reward, values, after, *ends, batch.valid))
  valid = np.asarray(batch.valid)
  return np.where(valid, (raw - raw[valid].mean()) / (raw[valid].std() + 1e-6), 0.0)


@pytest.mark.parametrize("baseline", BASELINES)
def test_an_update_matches_dense_algebra(baseline):
  npg, state = begun(baseline, NPGHyperparams(damping=1e-2), cg_iterations=60)
  update = jax.jit(npg.update)
  state, _ = update(state, trajectories(state), jax.random.key(1))  # values are not 0 then
  batch = trajectories(state, seed=1)
  after, metrics = update(state, batch, jax.random.key(2))
  valid, advantage = batch.valid, advantages_of(state, batch, BASELINES[baseline])
  obs, action = batch.obs[valid], batch.action[valid]
  theta, unravel = ravel_pytree(state.params)
  surrogate = lambda x: jnp.mean(
    POLICY.log_prob(unravel(x), obs, action) * advantage[np.asarray(valid)]
  )
  kl = lambda x: POLICY.kl(state.params, unravel(x), obs).mean()
  g = np.asarray(jax.grad(surrogate)(theta), np.float64)
  fisher = np.asarray(jax.hessian(kl)(theta), np.float64) + 1e-2 * np.eye(len(g))
  x = np.linalg.solve(fisher, g)
  want = theta + np.sqrt(0.05 / (g @ x)) * x
  np.testing.assert_allclose(ravel_pytree(after.params)[0], want, atol=2e-3)
  np.testing.assert_allclose(metrics["gradient_norm"], np.linalg.norm(g), rtol=1e-3)
  np.testing.assert_allclose(metrics["alpha"], np.sqrt(0.05 / (g @ x)), rtol=1e-2)
  moved = ravel_pytree(after.params)[0]
  np.testing.assert_allclose(metrics["surrogate_before"], surrogate(theta), atol=1e-4)
  np.testing.assert_allclose(metrics["surrogate_after"], surrogate(moved), atol=1e-4)
  np.testing.assert_allclose(metrics["kl"], kl(moved), rtol=1e-3)
  improvement = metrics["surrogate_after"] - metrics["surrogate_before"]
  assert metrics["surrogate_improvement"] == improvement > 0


@pytest.mark.slow
def test_gradients_match_finite_differences_in_double_precision():
  """The slope along a direction, of the surrogate computed by numpy."""
  npg, state = begun()
  batch = trajectories(state)
  advantage = advantages_of(state, batch, BASELINES["linear"])
  obs, action = (np.asarray(x, np.float64) for x in (batch.obs, batch.action))
  theta, unravel = ravel_pytree(state.params)

  def surrogate(x):
    params = {k: np.asarray(v, np.float64) for k, v in flatten(x).items()}
    hidden = np.tanh(obs @ params["w0"] + params["b0"])
    error = (action - hidden @ params["w1"] - params["b1"]) * np.exp(-params["log_std"])
    log_prob = -0.5 * (error**2).sum(-1) - (params["log_std"] + np.log(2 * np.pi) / 2).sum()
    return (log_prob * advantage)[np.asarray(batch.valid)].mean()

  def flatten(x):
    """Names the parts of a vector that is laid out as ``theta``, in double precision."""
    sizes = [leaf.size for leaf in jax.tree.leaves(state.params)]
    parts = np.split(np.asarray(x, np.float64), np.cumsum(sizes)[:-1])
    shapes = [leaf.shape for leaf in jax.tree.leaves(state.params)]
    named = [p.reshape(s) for p, s in zip(parts, shapes, strict=True)]
    return dict(zip(("b0", "w0", "b1", "w1", "log_std"), named, strict=True))

  rng, theta = np.random.default_rng(0), np.asarray(theta, np.float64)
  direction = rng.normal(size=len(theta))
  slope = (surrogate(theta + 1e-5 * direction) - surrogate(theta - 1e-5 * direction)) / 2e-5
  valid = jnp.asarray(batch.valid)
  gradient = jax.grad(
    lambda x: (
      jnp.sum(
        jnp.where(valid, POLICY.log_prob(unravel(x), batch.obs, batch.action) * advantage, 0)
      )
      / valid.sum()
    )
  )(jnp.asarray(theta, jnp.float32))
  np.testing.assert_allclose(np.asarray(gradient) @ direction, slope, rtol=1e-4)
  _, metrics = npg.update(state, batch, jax.random.key(0))
  np.testing.assert_allclose(metrics["gradient_norm"], jnp.linalg.norm(gradient), rtol=1e-4)


def test_the_divergence_of_a_step_is_half_the_step_size():
  npg, _ = begun()
  update = jax.jit(npg.update)
  for delta, tolerance in ((1e-4, 0.05), (0.002, 0.1), (0.05, 0.15)):
    for seed in range(3):
      state = npg.init(jax.random.key(seed), NPGHyperparams(step_size=jnp.float32(delta)))
      _, metrics = update(state, trajectories(state, 40, 20, seed), jax.random.key(seed))
      assert metrics["kl"] == pytest.approx(delta / 2, rel=tolerance)
      assert metrics["refused"] == 0


def step_in_double_precision(policy, state, batch, advantage, damping):
  """Returns ``alpha F^-1 g`` and ``F`` of a policy of one action, from its Jacobians."""
  theta, unravel = ravel_pytree(state.params)
  obs, action = batch.obs[batch.valid], batch.action[batch.valid]
  wide = lambda function: np.asarray(jax.jacobian(function)(theta), np.float64)
  score = wide(lambda x: policy.log_prob(unravel(x), obs, action))
  mean, log_std = (
    wide(lambda x: policy.mean(unravel(x), obs)[:, 0]),
    wide(lambda x: unravel(x).log_std[0]),
  )
  g = score.T @ advantage / len(advantage)
  slope = mean * np.exp(-np.float64(state.params.log_std))
  fisher = slope.T @ slope / len(obs) + 2 * np.outer(log_std, log_std)
  x = np.linalg.solve(fisher + damping * np.eye(len(g)), g)
  return np.sqrt(float(state.hyperparams.step_size) / (g @ x)) * x, fisher


@pytest.mark.slow
def test_steps_are_accurate_in_single_precision():
  """At a deviation that makes the Fisher matrix large: eigenvalues up to 450, damping 1e-4.

  In directions that do not change the actions, the released start is off by 500 steps.
  """
  policy, values = make_gaussian_policy(1, 1, hidden=(16,), log_std=-2.3), linear_baseline(1)
  probe = PROBES["reward of observation and action"]
  lengths = {}
  for start in ("zero", "gradient"):
    npg = make_npg(policy, values, cg_start=start)
    state = npg.init(jax.random.key(0), NPGHyperparams(discount=DISCOUNT, step_size=1e-3))
    batch = rollout(probe, policy, state.params, jax.random.key(2), 128)
    after, _ = npg.update(state, batch, jax.random.key(3))
    finite = jax.tree.map(lambda x: jnp.where(jnp.isfinite(x), x, jnp.zeros_like(x)), batch)
    advantage = advantages_of(state, finite, values)[np.asarray(batch.valid)]
    want, fisher = step_in_double_precision(policy, state, batch, advantage, 1e-4)
    difference = ravel_pytree(after.params)[0] - ravel_pytree(state.params)[0] - want
    lengths[start] = np.linalg.norm(difference) / np.linalg.norm(want)
    if start == "zero":
      assert difference @ fisher @ difference < 1e-3 * (want @ fisher @ want)
  assert lengths["zero"] < 2.0
  assert lengths["gradient"] > 50.0


def test_log_std_is_clamped_after_the_step():
  bounds = {"min_log_std": -0.501, "max_log_std": -0.499}
  npg, state = begun(hyperparams=NPGHyperparams(**bounds))
  after, _ = npg.update(state, trajectories(state), jax.random.key(1))
  assert (after.params.log_std != state.params.log_std).all()
  low, high = np.float32(bounds["min_log_std"]), np.float32(bounds["max_log_std"])
  assert ((after.params.log_std >= low) & (after.params.log_std <= high)).all()


def test_unknown_starts_and_sizes_are_rejected():
  with pytest.raises(ValueError, match=r"cg_start='one'.*'zero'"):
    make_npg(POLICY, BASELINES["linear"], cg_start="one")
  with pytest.raises(ValueError, match="cg_iterations=0 must be positive"):
    make_npg(POLICY, BASELINES["linear"], cg_iterations=0)
