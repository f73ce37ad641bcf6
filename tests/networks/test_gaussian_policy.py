"""Gaussian policies against numpy in double precision."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mbrl_jax.networks.gaussian_policy import (
  clamp_log_std,
  entropy,
  make_gaussian_policy,
)

OBS, ACTIONS = 3, 2


def made(seed=0, **options):
  """Returns a policy, and parameters whose last layer is not small."""
  policy = make_gaussian_policy(OBS, ACTIONS, hidden=(5, 4), log_std=[-0.7, 0.2], **options)
  params = policy.init(jax.random.key(seed))
  noise = jax.random.normal(jax.random.key(seed + 1), (4, ACTIONS))
  last = {"kernel": noise, "bias": noise[0]}
  return policy, params._replace(net={**params.net, "layer_2": last})


def slow_mean(params, obs):
  """The tanh net in numpy, in double precision."""
  x = np.float64(obs)
  for i in range(3):
    layer = params.net[f"layer_{i}"]
    x = x @ np.float64(layer["kernel"]) + np.float64(layer["bias"])
    x = np.tanh(x) if i < 2 else x
  return x


def observations(n=6):
  return jax.random.normal(jax.random.key(5), (n, OBS))


def test_the_mean_is_a_tanh_net():
  policy, params = made()
  obs = observations()
  np.testing.assert_allclose(policy.mean(params, obs), slow_mean(params, obs), atol=1e-5)
  one = policy.mean(params, obs[0])
  np.testing.assert_allclose(one, slow_mean(params, obs)[0], atol=1e-5)


def test_the_last_layer_starts_small():
  policy = make_gaussian_policy(OBS, ACTIONS, hidden=(16,))
  params = policy.init(jax.random.key(0))
  kernel = params.net["layer_1"]["kernel"]
  assert 0.5 * 0.01 / 4 < jnp.abs(kernel).max() <= 0.01 / 4  # uniform within 1/sqrt(16)
  assert jnp.abs(params.net["layer_0"]["kernel"]).max() > 0.1
  np.testing.assert_allclose(params.log_std, -0.5)


def test_densities_and_entropies_are_those_of_scipy():
  policy, params = made()
  obs = observations()
  action = policy.sample(params, obs, jax.random.key(7))
  normal = stats.norm(slow_mean(params, obs), np.exp(np.float64(params.log_std)))
  want = normal.logpdf(np.float64(action)).sum(-1)
  np.testing.assert_allclose(policy.log_prob(params, obs, action), want, atol=1e-4)
  np.testing.assert_allclose(entropy(params), normal.entropy()[0].sum(), rtol=1e-6)


def test_samples_have_the_mean_and_the_deviation_of_the_policy():
  policy, params = made()
  obs = jnp.broadcast_to(observations()[0], (20_000, OBS))
  action = np.asarray(policy.sample(params, obs, jax.random.key(8)))
  std = np.exp(np.asarray(params.log_std))
  np.testing.assert_allclose(action.mean(0), slow_mean(params, obs[0]), atol=0.03)
  np.testing.assert_allclose(action.std(0), std, rtol=0.03)


def test_divergences_are_the_expected_log_ratios():
  """By Gauss-Hermite quadrature, exact for the log ratio, a polynomial of degree two."""
  policy, old = made()
  _, new = made(seed=3)
  new = new._replace(log_std=jnp.array([0.1, -0.4]))
  obs = observations()
  nodes, weights = np.polynomial.hermite_e.hermegauss(3)
  weights = weights / weights.sum()
  total = 0.0
  for i, wi in enumerate(weights):
    for j, wj in enumerate(weights):
      noise = np.array([nodes[i], nodes[j]])
      action = jnp.float32(slow_mean(old, obs) + np.exp(old.log_std) * noise)
      log_ratio = policy.log_prob(old, obs, action) - policy.log_prob(new, obs, action)
      total += wi * wj * log_ratio
  np.testing.assert_allclose(policy.kl(old, new, obs), total, rtol=1e-4, atol=1e-5)
  assert (policy.kl(old, old, obs) == 0).all()


@pytest.mark.parametrize("change", [1e-3, 1e-2])
def test_small_divergences_are_accurate(change):
  policy, old = made()
  new = old._replace(log_std=old.log_std + change)
  want = ACTIONS * (change + 0.5 * np.expm1(-2 * change))
  np.testing.assert_allclose(policy.kl(old, new, observations()), want, rtol=2e-3)


def test_products_have_full_precision_also_in_gradients():
  policy, params = made()
  obs, action = observations(), jnp.ones((6, ACTIONS))
  loss = lambda p: (policy.log_prob(p, obs, action) + policy.kl(params, p, obs)).sum()
  text = str(jax.make_jaxpr(jax.grad(loss))(params))
  products = text.count("dot_general[")
  assert products > 6 and text.count("precision=(Precision.HIGHEST") == products


def test_log_std_is_clamped_to_scalars_or_vectors():
  _, params = made()
  np.testing.assert_allclose(clamp_log_std(params, -0.5, 0.1).log_std, [-0.5, 0.1])
  low = jnp.array([-1.0, 0.5])
  clamped = clamp_log_std(params, low, 1.0)
  np.testing.assert_allclose(clamped.log_std, [-0.7, 0.5])
  chex.assert_trees_all_equal(clamped.net, params.net)


def test_sizes_that_are_not_positive_are_rejected():
  with pytest.raises(ValueError, match=r"action_dim=0 must be positive"):
    make_gaussian_policy(OBS, 0)
  with pytest.raises(ValueError, match=r"hidden=\(4, 0\) must be positive"):
    make_gaussian_policy(OBS, ACTIONS, hidden=(4, 0))
