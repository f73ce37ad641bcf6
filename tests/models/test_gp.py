"""The sparse GP against dense linear algebra in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mbrl_jax.models.fit import fit
from mbrl_jax.models.gp import make_gp
from mbrl_jax.models.optimizer import init_optimizer

CAP, SIZE, IN, OUT = 48, 30, 2, 3
ADAM = optax.adam(0.05)


def data(cap=CAP, seed=0):
  rng = np.random.default_rng(seed)
  x = rng.uniform(-2, 2, (cap, IN)).astype(np.float32) * [1.0, 5.0]
  clean = np.stack([np.sin(x[:, 0]), 0.1 * x[:, 1], np.cos(x[:, 0]) * x[:, 1]], 1)
  y = 0.05 * clean + 0.003 * rng.standard_normal((cap, OUT))
  return jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)


def prepared(inducing_points, **options):
  """Returns a GP on padded data with non-default hyper-parameters."""
  ensemble = make_gp(inducing_points, **options)
  x, y = data()
  x, y = x.at[SIZE:].set(jnp.nan), y.at[SIZE:].set(1e3)
  params = ensemble.init(jax.random.key(0), x, y)
  params = params._replace(
    log_lengthscale=jnp.array([0.2, -0.3]), log_variance=jnp.float32(0.4),
    log_noise=jnp.float32(-3.0),
  )  # fmt: skip
  return ensemble, ensemble.prepare(params, x, y, SIZE, jax.random.key(1)), x, y


def kernel(params, a, b):
  inverse = np.exp(-np.asarray(params.log_lengthscale, np.float64))
  difference = (a[:, None] - b) * inverse
  return np.exp(float(params.log_variance) - 0.5 * np.square(difference).sum(-1))


def dense(params, x, y):
  """Returns normalised inputs, scaled outputs and the noise variance, valid rows only."""
  x = np.asarray(x[:SIZE], np.float64)
  x = (x - np.asarray(params.inputs.mean)) / np.asarray(params.inputs.scale)
  y = np.asarray(y[:SIZE], np.float64) / float(params.scale)
  return x, y, 1e-4 + np.exp(float(params.log_noise))


def bound(params, x, y, noise):
  """Computes Titsias' bound, log N(y | 0, Q + s^2 I) - tr(K - Q) / 2 s^2."""
  z = np.asarray(params.inducing_points, np.float64)[np.asarray(params.active) > 0]
  gram = kernel(params, z, z) + 1e-4 * np.exp(float(params.log_variance)) * np.eye(len(z))
  cross = kernel(params, z, x)
  approximate = cross.T @ np.linalg.solve(gram, cross)
  covariance = approximate + noise * np.eye(len(x))
  _, log_det = np.linalg.slogdet(2 * np.pi * covariance)
  quadratic = (y * np.linalg.solve(covariance, y)).sum()
  trace = len(x) * np.exp(float(params.log_variance)) - np.trace(approximate)
  return -0.5 * (OUT * log_det + quadratic + OUT * trace / noise)


@pytest.mark.parametrize("inducing_points", [8, SIZE, 64])
def test_loss_is_the_collapsed_bound(inducing_points):
  ensemble, params, x, y = prepared(inducing_points)
  assert params.active.sum() == min(inducing_points, SIZE)
  weights = (jnp.arange(CAP) < SIZE).astype(jnp.float32)
  loss, _ = jax.jit(ensemble.loss)(params, x[None], y[None], weights[None])
  inputs, outputs, noise = dense(params, x, y)
  expected = -bound(params, inputs, outputs, noise) / SIZE + OUT * np.log(float(params.scale))
  assert loss == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_gradient_matches_differences_of_the_dense_bound():
  ensemble, params, x, y = prepared(8)
  weights = (jnp.arange(CAP) < SIZE).astype(jnp.float32)
  gradient = jax.jit(jax.grad(lambda p: ensemble.loss(p, x[None], y[None], weights[None])[0]))(
    params
  )
  inputs, outputs, _ = dense(params, x, y)

  def value(**changes):
    moved = params._replace(**changes)
    return -bound(moved, inputs, outputs, dense(moved, x, y)[2]) / SIZE

  for name in ensemble.trainable:
    center = np.asarray(getattr(params, name), np.float64)
    numeric = np.zeros_like(center)
    for index in np.ndindex(center.shape):
      ends = []
      for sign in (1, -1):
        moved = center.copy()
        moved[index] += sign * 1e-4
        ends.append(value(**{name: moved}))
      numeric[index] = (ends[0] - ends[1]) / 2e-4
    np.testing.assert_allclose(getattr(gradient, name), numeric, rtol=5e-3, atol=5e-3)


def test_all_points_as_inducing_points_give_the_exact_gp():
  ensemble, params, x, y = prepared(SIZE, jitter=1e-6)
  params = ensemble.finish(params, x, y, SIZE)
  inputs, outputs, noise = dense(params, x, y)
  queries = data(cap=20, seed=3)[0]
  mean, spread = jax.jit(jax.vmap(ensemble.apply, (None, 0)))(params, queries)
  normalized = (np.asarray(queries, np.float64) - params.inputs.mean) / params.inputs.scale
  cross = kernel(params, inputs, normalized)
  covariance = kernel(params, inputs, inputs) + noise * np.eye(SIZE)
  expected = cross.T @ np.linalg.solve(covariance, outputs) * float(params.scale)
  variance = np.exp(float(params.log_variance)) - (
    cross * np.linalg.solve(covariance, cross)
  ).sum(0)
  np.testing.assert_allclose(mean, expected, atol=3e-3 * float(params.scale))
  got = np.asarray(spread) / float(params.scale) ** 2
  np.testing.assert_allclose(got, np.repeat(variance[:, None], OUT, 1), rtol=0.02, atol=1e-3)


def test_initial_prediction_is_the_prior():
  ensemble = make_gp(5)
  params = ensemble.init(jax.random.key(0), jnp.zeros(IN), jnp.zeros(OUT))
  mean, spread = ensemble.apply(params, jnp.ones(IN))
  np.testing.assert_array_equal(mean, 0)
  np.testing.assert_allclose(spread, 1, atol=1e-6)


def test_fit_raises_the_bound_and_predicts():
  ensemble = make_gp(20)
  x, y = data()
  params = ensemble.init(jax.random.key(0), x, y)
  state = init_optimizer(ensemble, ADAM, params)
  results = []
  for _ in range(3):
    result = fit(ensemble, params, state, x, y, SIZE, jax.random.key(1), optimizer=ADAM,
                 epochs=40, batch_size=None)  # fmt: skip
    params, state = result.params, result.opt_state
    results.append(result.metrics)
  assert results[0]["loss"] > results[1]["loss"] > results[2]["loss"]
  assert results[0]["gradient_steps"] == 40 and results[2]["nonfinite_steps"] == 0
  mean, _ = jax.vmap(ensemble.apply, (None, 0))(params, x[SIZE:])
  error = np.square(np.asarray(mean - y[SIZE:])).mean(0)
  assert (error < 0.15 * np.var(np.asarray(y), 0)).all()


def test_ill_conditioned_data_stay_finite():
  """Duplicate inputs, little noise and long length scales: the worst case for float32."""
  ensemble = make_gp(100)
  x = jnp.tile(data()[0][:SIZE], (20, 1))
  y = jnp.tile(data()[1][:SIZE], (20, 1))
  params = ensemble.init(jax.random.key(0), x, y)
  params = params._replace(log_noise=jnp.float32(-20.0), log_lengthscale=jnp.full(IN, 2.0))
  params = ensemble.prepare(params, x, y, len(x), jax.random.key(1))
  weights = jnp.ones((1, len(x)))
  value = jax.value_and_grad(lambda p: ensemble.loss(p, x[None], y[None], weights)[0])
  loss, gradient = jax.jit(value)(params)
  assert jnp.isfinite(loss)
  assert all(jnp.isfinite(getattr(gradient, name)).all() for name in ensemble.trainable)


@pytest.mark.parametrize("options", [{"inducing_points": 0}, {"jitter": 0.0}])
def test_invalid_arguments_raise(options):
  with pytest.raises(ValueError, match="must be positive"):
    make_gp(**options)
