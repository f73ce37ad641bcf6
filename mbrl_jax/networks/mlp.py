"""Multi-layer perceptron with optional bfloat16 matrix products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mbrl_jax.types import Array, Key

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
  "swish": nn.swish,
  "relu": nn.relu,
  "tanh": nn.tanh,
}
PRECISIONS = ("float32", "bfloat16")


def truncated_normal_init(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
  """Draws weights from a normal of std ``1 / (2 sqrt(fan_in))``, truncated at two std.

  The std is that of the normal before truncation (PETS, Chua et al. 2018).
  """
  std = 0.5 * shape[-2] ** -0.5
  return std * jax.random.truncated_normal(key, -2.0, 2.0, shape, dtype)


def _bfloat16_dot_general(x: Array, kernel: Array, dims: Any, precision: Any = None) -> Array:
  """Multiplies ``x [..., I]`` and ``kernel [I, O]``, as ``nn.Dense`` calls it."""
  del dims, precision
  return _bfloat16_product(x, kernel)


@jax.custom_vjp
def _bfloat16_product(x: Array, kernel: Array) -> Array:
  """Multiplies in bfloat16 and accumulates in float32, also in its derivative."""
  return _product("...i,io->...o", _round(x), _round(kernel))


def _product_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
  rounded = _round(kernel)
  return _product("...i,io->...o", _round(x), rounded), (x, rounded)


def _product_backward(factors: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
  x, kernel = factors
  # JAX's default rule would multiply the float32 cotangent by the bfloat16 kernel, which is
  # slow. The other product stays in float32: XLA's CPU backend has no bfloat16 product of this
  # layout.
  flat = lambda rows: rows.reshape(-1, rows.shape[-1])
  to_kernel = _product("ni,no->io", flat(x), flat(cotangent))
  return _product("...o,io->...i", _round(cotangent), kernel), to_kernel


_bfloat16_product.defvjp(_product_forward, _product_backward)


def _round(x: Array) -> Array:
  return x.astype(jnp.bfloat16)


def _product(axes: str, x: Array, y: Array) -> Array:
  return jnp.einsum(axes, x, y, preferred_element_type=jnp.float32)


class MLP(nn.Module):
  """Dense layers with an activation between them and none after the last.

  Layers are named ``layer_0``, ``layer_1``, ... with ``kernel [in, out]`` and ``bias [out]``.

  Attributes:
    features: widths of all layers, the output layer last.
    activation: a key of ``ACTIVATIONS``.
    precision: ``"float32"``, or ``"bfloat16"`` to round both factors of matrix products to
      bfloat16; sums, weights and activations stay float32.
    kernel_init: ``(key, shape [in, out], dtype) -> kernel``; biases start at 0.

  Example:
    >>> net = MLP((16, 2))
    >>> variables = net.init(jax.random.key(0), jnp.zeros(3))
    >>> net.apply(variables, jnp.ones((5, 3))).shape
    (5, 2)
  """

  features: tuple[int, ...]
  activation: str = "swish"
  precision: str = "float32"
  kernel_init: Callable[..., Array] = truncated_normal_init

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps ``x [..., I]`` to ``[..., features[-1]]``."""
    dot_general = _bfloat16_dot_general if self.precision == "bfloat16" else None
    for i, width in enumerate(self.features):
      dense = nn.Dense(
        width, kernel_init=self.kernel_init, dot_general=dot_general, name=f"layer_{i}"
      )
      x = dense(x)
      if i + 1 < len(self.features):
        x = ACTIVATIONS[self.activation](x)
    return x
