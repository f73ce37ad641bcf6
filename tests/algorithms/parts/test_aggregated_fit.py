"""A fit to aggregated data: what it learns from, its normaliser and its noise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mbmf_cases import CONFIG, ENV, MODEL, recorded

from mbrl_jax.algorithms import make_algorithm
from mbrl_jax.algorithms.parts import aggregated_fit
from mbrl_jax.algorithms.parts.aggregated_fit import _noise_scale, fit_rows
from mbrl_jax.algorithms.parts.dynamics_config import make_model
from mbrl_jax.algorithms.parts.split_buffer import SplitRows
from mbrl_jax.models import make_optimizer
from mbrl_jax.models.fit import FitResult
from mbrl_jax.types import Transition


@functools.partial(jax.jit, static_argnames="released")
def compiled_fit(rows, noise, released):
  algorithm = make_algorithm("mbmf", ENV.spec, CONFIG)
  learn = algorithm.init(jax.random.key(0)).learn
  return fit_rows(
    ENV.spec, make_model(MODEL), learn.params, learn.opt_state, rows, jax.random.key(1),
    optimizer=make_optimizer(1e-2), settings=CONFIG.fit, noise=noise, fraction_new=0.5,
    released=released,
  )  # fmt: skip


def fit(rows, released=False, noise=0.0):
  return compiled_fit(rows, noise, released)


def some_rows():
  """Returns 12 old, 8 new, 10 validation and 5 invalid rows; old and new ones differ."""
  data = jax.tree.map(lambda x: x[:35], recorded(4))
  group = np.int32([0] * 12 + [1] * 8 + [5] * 10 + [2**31 - 1] * 5)
  return SplitRows(data, group, *map(jnp.int32, (12, 8, 10)))


def test_no_validation_row_is_trained_on():
  """A model fitted with NaN in all of them is the same, bit for bit."""
  rows = some_rows()
  spoilt = jax.tree.map(np.copy, rows)
  for x in (spoilt.data.obs, spoilt.data.action, spoilt.data.next_obs):
    x[20:] = np.nan
  first, second = fit(rows, noise=0.01), fit(spoilt, noise=0.01)
  jax.tree.map(np.testing.assert_array_equal, first.params, second.params)
  assert first.metrics["error_5"] > 0 and first.metrics["nonfinite_steps"] == 0


def test_the_normaliser_is_that_of_all_or_of_the_random_data():
  rows = some_rows()
  inputs = np.concatenate([jax.vmap(ENV.spec.encode)(rows.data.obs), rows.data.action], 1)
  for released, used in ((False, inputs[:20]), (True, inputs[:12])):
    params = fit(rows, released).params
    np.testing.assert_allclose(params.inputs.mean, used.mean(0), atol=1e-5)
    np.testing.assert_allclose(params.inputs.scale, used.std(0), rtol=1e-4)


def test_noise_is_proportional_to_the_mean():
  x = jnp.array([[1.0, -2.0], [3.0, -2.0], [100.0, 100.0]])
  np.testing.assert_allclose(_noise_scale(x, jnp.int32(2), False), [2.0, 2.0])
  np.testing.assert_allclose(_noise_scale(x, jnp.int32(2), True), [2.0, 0.0])
  rows = some_rows()
  calm, noisy = (fit(rows, noise=noise).params for noise in (0.0, 0.5))
  jax.tree.map(np.testing.assert_array_equal, calm.inputs, noisy.inputs)
  different = jax.tree.map(lambda a, b: (a != b).any(), calm.network, noisy.network)
  assert all(jax.tree.leaves(different))


def normalised_change(params, obs, action):
  """Returns the net's normalised changes ``[n, O]`` in float64 numpy."""
  net = jax.tree.map(lambda leaf: np.float64(np.squeeze(leaf, 0)), params.network)
  x = (np.concatenate([obs, action], 1) - params.inputs.mean) / params.inputs.scale
  x = np.maximum(x @ net["layer_0"]["kernel"] + net["layer_0"]["bias"], 0)
  return x @ net["layer_1"]["kernel"] + net["layer_1"]["bias"]


def test_losses_and_validation_errors_are_those_of_numpy():
  """The only validation episode has five rows, and so one window of five steps."""
  data = jax.tree.map(lambda x: x[:25], recorded(3))
  group = np.int32([0] * 12 + [1] * 8 + [5] * 5)
  result = fit(SplitRows(data, group, *map(jnp.int32, (12, 8, 5))))
  params, metrics = result.params, result.metrics
  targets = np.float64(jax.vmap(ENV.spec.target)(data.obs, data.next_obs))
  mean, scale = targets[:20].mean(0), targets[:20].std(0)
  square = (normalised_change(params, data.obs, data.action) - (targets - mean) / scale) ** 2
  np.testing.assert_allclose(metrics["loss_old"], square[:12].mean(), rtol=1e-3)
  np.testing.assert_allclose(metrics["loss_new"], square[12:20].mean(), rtol=1e-3)
  obs = np.float64(data.obs[20:21])
  for action in data.action[20:]:
    obs = obs + mean + scale * normalised_change(params, obs, action[None])
  error = np.mean(((obs - data.next_obs[24]) / params.inputs.scale[:3]) ** 2)
  np.testing.assert_allclose(metrics["error_5"], error, rtol=1e-2)
  assert metrics["error_10"] == 0 and metrics["rows"] == 20


@pytest.mark.parametrize("released", [False, True])
def test_training_sees_noise_on_observations_and_targets_only(released, monkeypatch):
  """Its deviation is a share of each dimension's mean over the rows of the normaliser."""

  def seen(model, params, opt_state, inputs, targets, *rest, **options):
    return FitResult(params, opt_state, {"inputs": inputs, "targets": targets})

  monkeypatch.setattr(aggregated_fit, "mixed_fit", seen)
  rng, count, old = np.random.default_rng(0), 3000, 1000
  obs, action = (np.float32(rng.normal(size=(count, n))) for n in (3, 1))
  obs += np.float32([2.0, -3.0, 1.0]) * (1 + (np.arange(count) < old))[:, None]
  next_obs, none = obs + np.float32([0.5, -0.25, 1.0]), np.zeros(count, bool)
  data = Transition(obs, action, np.zeros(count, np.float32), next_obs, none, none)
  rows = SplitRows(data, np.zeros(count, np.int32), *map(jnp.int32, (old, count - old, 0)))
  metrics = jax.jit(compiled_fit.__wrapped__, static_argnums=2)(rows, 0.01, released).metrics
  np.testing.assert_array_equal(metrics["inputs"][:, 3:], action)
  for noisy, clean in ((metrics["inputs"][:, :3], obs), (metrics["targets"], next_obs - obs)):
    mean = clean[: old if released else count].mean(0)
    scale = np.maximum(mean, 0) if released else np.abs(mean)
    np.testing.assert_allclose((noisy - clean).std(0), 0.01 * scale, rtol=0.08, atol=1e-6)
  noise = [metrics["inputs"][:, 0] - obs[:, 0], metrics["targets"][:, 0] - 0.5]
  assert abs(np.corrcoef(noise)[0, 1]) < 0.1
