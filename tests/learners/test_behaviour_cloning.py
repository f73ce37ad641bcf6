"""Behaviour cloning against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.learners.behaviour_cloning import clone_behaviour
from mbrl_jax.networks.gaussian_policy import make_gaussian_policy

POLICY = make_gaussian_policy(3, 2, hidden=(8,))
CAP = 20


def begun(size, rest=np.nan):
  """Returns parameters, and observations and actions of which those after ``size`` are NaN."""
  rng = np.random.default_rng(0)
  params = POLICY.init(jax.random.key(0))
  net = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32), params.net)
  obs, action = np.float32(rng.normal(size=(CAP, 3))), np.float32(rng.normal(size=(CAP, 2)))
  obs[size:], action[size:] = rest, rest
  return params._replace(net=net), jnp.asarray(obs), jnp.asarray(action)


def adam_step(params, obs, action, rate):
  """Returns the net after Adam's first step, and the error before it, in float64."""
  layers = [
    (np.float64(params.net[name]["kernel"]), np.float64(params.net[name]["bias"]))
    for name in ("layer_0", "layer_1")
  ]
  (w0, b0), (w1, b1) = layers
  x, y = np.float64(obs), np.float64(action)
  hidden = np.tanh(x @ w0 + b0)
  error = hidden @ w1 + b1 - y
  back = 2 * error / error.size
  inner = (back @ w1.T) * (1 - hidden**2)
  gradients = [(x.T @ inner, inner.sum(0)), (hidden.T @ back, back.sum(0))]
  # the first step: bias-corrected moments are the gradient and its square
  move = lambda value, g: value - rate * g / (np.sqrt(g**2) + 1e-8)
  moved = {
    f"layer_{i}": {"kernel": move(w, gw), "bias": move(b, gb)}
    for i, ((w, b), (gw, gb)) in enumerate(zip(layers, gradients, strict=True))
  }
  return moved, np.mean(error**2)


@pytest.mark.parametrize("size", [CAP, 13])
def test_an_epoch_of_one_batch_is_a_step_of_adam(size):
  """Rows after ``size`` are NaN and do not matter."""
  params, obs, action = begun(size)
  clone = jax.jit(lambda size, key: clone_behaviour(
    POLICY, params, obs, action, size, key, epochs=1, batch_size=CAP, learning_rate=0.01
  ))  # fmt: skip
  found, error = clone(size, jax.random.key(1))
  net, expected = adam_step(params, obs[:size], action[:size], 0.01)
  np.testing.assert_allclose(error, expected, rtol=1e-5)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
               found.net, net)  # fmt: skip
  np.testing.assert_array_equal(found.log_std, params.log_std)


def test_all_rows_are_used_once_in_batches_of_which_the_last_is_partial():
  """At a learning rate of 0 the error of an epoch is the mean over its batches."""
  params, obs, action = begun(13)
  squares = np.square(POLICY.mean(params, obs[:13]) - action[:13]).mean(-1)
  fits = {
    batch: jax.jit(
      lambda key, batch=batch: clone_behaviour(
        POLICY, params, obs, action, 13, key, epochs=1, batch_size=batch, learning_rate=0.0
      )[1]
    )
    for batch in (1, 12)
  }
  # a batch each: the order does not matter
  np.testing.assert_allclose(fits[1](jax.random.key(0)), squares.mean(), rtol=1e-5)
  # batches of 12 and 1 rows: the last row is each of them for some key
  last = set()
  for seed in range(120):
    error = float(fits[12](jax.random.key(seed)))
    rest = (squares.sum() - squares) / 12
    match = np.flatnonzero(np.isclose((rest + squares) / 2, error, rtol=1e-5))
    assert len(match) == 1
    last |= set(match.tolist())
  assert last == set(range(13))


def test_it_converges_to_a_policy_of_the_same_form():
  params, obs, _ = begun(CAP)
  params = params._replace(net=jax.tree.map(lambda x: 0.5 * x, params.net))
  action = 0.3 * obs[:, :2] - 0.1
  train = jax.jit(lambda epochs: clone_behaviour(
    POLICY, params, obs, action, CAP, jax.random.key(0),
    epochs=epochs, batch_size=8, learning_rate=0.01,
  ))  # fmt: skip
  first, last = train(1)[1], train(1500)
  error = np.square(POLICY.mean(last[0], obs) - action).mean()
  assert first > 0.1 and error < 1e-3 and last[1] < 1e-2


def test_no_epochs_or_no_rows_change_nothing():
  params, obs, action = begun(0)
  fit = jax.jit(lambda size, epochs: clone_behaviour(
    POLICY, params, obs, action, size, jax.random.key(0), epochs=epochs, batch_size=8
  ))  # fmt: skip
  for size, epochs in ((0, 3), (CAP, 0)):
    found, error = fit(size, epochs)
    jax.tree.map(np.testing.assert_array_equal, found, params)
    assert error == 0


def test_an_empty_batch_is_refused():
  params, obs, action = begun(CAP)
  with pytest.raises(ValueError, match="batch_size=0 must be positive"):
    clone_behaviour(POLICY, params, obs, action, CAP, jax.random.key(0), batch_size=0)
