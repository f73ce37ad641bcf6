"""The MLP against numpy: forward pass, initial weights and precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.networks.mlp import MLP

NUMPY = {
  "swish": lambda x: x / (1 + np.exp(-x)),
  "relu": lambda x: np.maximum(x, 0),
  "tanh": np.tanh,
}


def forward(params, x, activation):
  layers = len(params)
  for i in range(layers):
    layer = params[f"layer_{i}"]
    x = x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)
    x = NUMPY[activation](x) if i + 1 < layers else x
  return x


@pytest.mark.parametrize("activation", sorted(NUMPY))
def test_forward_pass_matches_numpy(activation):
  net = MLP((17, 9, 3), activation)
  x = jax.random.normal(jax.random.key(0), (5, 4))
  params = net.init(jax.random.key(1), x)["params"]
  params = jax.tree.map(lambda leaf: leaf + 0.1, params)
  got = net.apply({"params": params}, x)
  np.testing.assert_allclose(got, forward(params, np.asarray(x), activation), atol=1e-5)


def test_initial_weights_are_a_normal_truncated_at_two_std():
  fan_in = 400
  params = MLP((500, 1)).init(jax.random.key(0), jnp.zeros(fan_in))["params"]
  kernel = np.asarray(params["layer_0"]["kernel"])
  std = 1 / (2 * np.sqrt(fan_in))
  assert np.abs(kernel).max() <= 2 * std * (1 + 1e-6)
  assert np.abs(kernel).max() > 1.99 * std
  # The variance of a standard normal truncated at two is 0.7737.
  assert kernel.std() == pytest.approx(std * np.sqrt(0.7737), rel=0.01)
  assert abs(kernel.mean()) < 1e-3 * std * 5
  np.testing.assert_array_equal(params["layer_0"]["bias"], 0)


def test_bfloat16_gradient_is_close_to_the_exact_one_for_any_batch_shape():
  x = jax.random.normal(jax.random.key(0), (3, 4, 50))
  exact, rounded = MLP((40, 3), "relu"), MLP((40, 3), "relu", "bfloat16")
  params = exact.init(jax.random.key(1), x)
  loss = lambda net: lambda params, x: jnp.sum(jnp.sin(net.apply(params, x)))
  expected = jax.grad(loss(exact), (0, 1))(params, x)
  got = jax.jit(jax.grad(loss(rounded), (0, 1)))(params, x)
  for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
    assert a.dtype == jnp.float32 and a.shape == b.shape
    assert 0 < np.linalg.norm(a - b) < 6e-2 * np.linalg.norm(b)


def test_bfloat16_rounds_only_the_factors():
  x = jax.random.normal(jax.random.key(0), (6, 50))
  exact = MLP((40, 3))
  params = exact.init(jax.random.key(1), x)
  rounded = MLP((40, 3), precision="bfloat16").apply(params, x)
  assert rounded.dtype == jnp.float32
  error = np.abs(rounded - exact.apply(params, x)).max()
  assert 1e-6 < error < 2e-2
