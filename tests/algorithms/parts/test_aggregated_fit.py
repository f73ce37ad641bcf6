"""A fit to aggregated data: what it learns from, its normaliser and its noise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from mbmf_cases import CONFIG, ENV, MODEL, recorded

from mbrl_jax.algorithms import make_algorithm
from mbrl_jax.algorithms.parts.aggregated_fit import _noise_scale, fit_rows
from mbrl_jax.algorithms.parts.dynamics_config import make_model
from mbrl_jax.algorithms.parts.split_buffer import SplitRows
from mbrl_jax.models import make_optimizer


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
