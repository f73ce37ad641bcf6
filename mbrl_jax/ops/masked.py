"""Statistics of the valid entries of padded arrays."""

from __future__ import annotations

import jax.numpy as jnp

from mbrl_jax.types import Array


def masked_mean(x: Array, mask: Array) -> Array:
  """Returns the mean ``[]`` of the entries of ``x`` selected by ``mask``, 0 if there are none.

  The other entries may be non-finite, in values and in gradients of ``x`` itself.

  Args:
    x: any shape.
    mask: bool, of the same shape.

  Example:
    >>> masked_mean(jnp.array([1.0, 3.0, jnp.nan]), jnp.array([True, True, False])).item()
    2.0
  """
  return jnp.sum(jnp.where(mask, x, 0.0)) / jnp.maximum(jnp.sum(mask), 1)


def masked_variance(x: Array, mask: Array) -> Array:
  """Returns the population variance ``[]`` of the entries of ``x`` selected by ``mask``."""
  return masked_mean(jnp.square(x - masked_mean(x, mask)), mask)


def masked_standardize(x: Array, mask: Array, epsilon: float = 1e-6) -> Array:
  """Scales the selected entries of ``x`` to mean 0 and deviation 1; the others become 0.

  ``(x - mean) / (std + epsilon)``, so constant entries become 0.

  Example:
    >>> x, mask = jnp.array([1.0, 3.0, 50.0]), jnp.array([True, True, False])
    >>> masked_standardize(x, mask).round(3).tolist()
    [-1.0, 1.0, 0.0]
  """
  deviation = jnp.sqrt(masked_variance(x, mask))
  return jnp.where(mask, (x - masked_mean(x, mask)) / (deviation + epsilon), 0.0)
