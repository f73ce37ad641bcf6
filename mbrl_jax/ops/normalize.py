"""Affine normalisation, fitted to the valid rows of a padded array.

The result is bitwise independent of the padding: sums run over blocks of a fixed size, up to
the last valid row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.validate import choice
from mbrl_jax.types import Array

KINDS = ("std", "mad")
_CONSTANT = 1e-5  # a float32 deviation below this, relative to the mean, is rounding error
_BLOCK = 1024


class Normalizer(NamedTuple):
  """The map ``x -> (x - mean) / scale``.

  Attributes:
    mean: ``[D]``.
    scale: ``[D]``, positive, or 0 for a constant.
  """

  mean: Array
  scale: Array


def identity_normalizer(dim: int) -> Normalizer:
  """Returns the identity normaliser of ``dim`` dimensions."""
  return Normalizer(jnp.zeros(dim, jnp.float32), jnp.ones(dim, jnp.float32))


def fit_normalizer(
  x: Array, mask: Array, kind: str = "std", *, constant_scale: float = 1.0
) -> Normalizer:
  """Fits mean and scale of each dimension to the rows selected by ``mask``.

  Constant dimensions (deviation below 1e-5 times the larger of 1 and the mean's magnitude)
  get ``constant_scale``. Non-finite entries are ignored, so that one bad sample does not
  corrupt the model. A second pass corrects the mean, which makes it exact for constant
  dimensions.

  Args:
    x: ``[cap, D]``.
    mask: ``[cap]`` bool, the valid rows. If there are none, mean 0 and ``constant_scale``.
    kind: ``"std"`` (population standard deviation) or ``"mad"`` (mean absolute
      deviation about the mean, the scaling of Game-MBRL, Rajeswaran et al. 2020).
    constant_scale: 1, or 0 so that ``denormalize`` returns exactly the mean.

  Raises:
    ValueError: if ``kind`` is unknown.

  Example:
    >>> x = jnp.array([[1.0], [3.0], [99.0]])
    >>> normalizer = fit_normalizer(x, jnp.array([True, True, False]))
    >>> normalize(normalizer, x[:2]).ravel().tolist()
    [-1.0, 1.0]
  """
  choice("kind", kind, KINDS)
  valid = mask[:, None] & jnp.isfinite(x)
  count = jnp.maximum(valid.sum(0), 1)

  def average(function: Callable[[Array], Array]) -> Array:
    return _sum_valid(function, x, valid) / count

  mean = average(lambda x: x)
  mean = mean + average(lambda x: x - mean)
  if kind == "std":
    scale = jnp.sqrt(average(lambda x: jnp.square(x - mean)))
  else:
    scale = average(lambda x: jnp.abs(x - mean))
  constant = scale < _CONSTANT * jnp.maximum(1.0, jnp.abs(mean))
  return Normalizer(mean, jnp.where(constant, constant_scale, scale))


def _sum_valid(function: Callable[[Array], Array], x: Array, valid: Array) -> Array:
  """Sums ``function(x)`` over the valid entries of ``x [cap, D]``, up to the last block."""
  # At least two blocks and a row of padding: XLA removes redundant operations, and then fuses,
  # and so rounds, other operations differently.
  rows = ((0, _BLOCK * max(2, len(x) // _BLOCK + 1) - len(x)), (0, 0))
  x, valid = jnp.pad(x, rows), jnp.pad(valid, rows)
  end = jnp.where(valid.any(1), jnp.arange(1, len(x) + 1), 0).max()

  def body(i: Array, total: Array) -> Array:
    block, counts = (jax.lax.dynamic_slice_in_dim(a, i * _BLOCK, _BLOCK) for a in (x, valid))
    return total + jnp.where(counts, function(block), 0.0).sum(0)

  blocks = (end + _BLOCK - 1) // _BLOCK
  return jax.lax.fori_loop(0, blocks, body, jnp.zeros(x.shape[1], x.dtype))


def normalize(normalizer: Normalizer, x: Array) -> Array:
  """Maps ``x [..., D]`` to mean 0 and scale 1; all scales must be positive."""
  return (x - normalizer.mean) / normalizer.scale


def denormalize(normalizer: Normalizer, x: Array) -> Array:
  """Inverts ``normalize``."""
  return x * normalizer.scale + normalizer.mean
