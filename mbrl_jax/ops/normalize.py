"""Affine normalisation, fitted to the valid rows of a padded array."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from mbrl_jax.ops.validate import choice
from mbrl_jax.types import Array

KINDS = ("std", "mad")
_CONSTANT = 1e-5  # a float32 deviation below this, relative to the mean, is round-off


class Normalizer(NamedTuple):
  """The map ``x -> (x - mean) / scale``.

  Attributes:
    mean: ``[D]``.
    scale: ``[D]``, positive.
  """

  mean: Array
  scale: Array


def identity_normalizer(dim: int) -> Normalizer:
  """Returns the normaliser of ``dim`` dimensions that changes nothing."""
  return Normalizer(jnp.zeros(dim, jnp.float32), jnp.ones(dim, jnp.float32))


def fit_normalizer(x: Array, mask: Array, kind: str = "std") -> Normalizer:
  """Fits mean and scale of each dimension to the rows that ``mask`` selects.

  Dimensions that do not vary (their deviation is below 1e-5 times the larger of
  1 and the mean's magnitude) get scale 1. Non-finite entries are left out, so that
  one broken sample cannot spoil the model. The mean is corrected by a second pass, which
  makes it exact for constant dimensions.

  Args:
    x: ``[cap, D]``.
    mask: ``[cap]`` bool, the rows that count. Without any, mean 0 and scale 1.
    kind: ``"std"`` (population standard deviation) or ``"mad"`` (mean absolute
      deviation about the mean, as Game-MBRL scales, Rajeswaran et al. 2020).

  Raises:
    ValueError: if ``kind`` is unknown.
  """
  choice("kind", kind, KINDS)
  valid = mask[:, None] & jnp.isfinite(x)
  count = jnp.maximum(valid.sum(0), 1)

  def average(values):
    return jnp.where(valid, values, 0.0).sum(0) / count

  mean = average(x)
  mean = mean + average(x - mean)
  if kind == "std":
    scale = jnp.sqrt(average(jnp.square(x - mean)))
  else:
    scale = average(jnp.abs(x - mean))
  constant = scale < _CONSTANT * jnp.maximum(1.0, jnp.abs(mean))
  return Normalizer(mean, jnp.where(constant, 1.0, scale))


def normalize(normalizer: Normalizer, x: Array) -> Array:
  """Maps ``x [..., D]`` to mean 0 and scale 1."""
  return (x - normalizer.mean) / normalizer.scale


def denormalize(normalizer: Normalizer, x: Array) -> Array:
  """Undoes ``normalize``."""
  return x * normalizer.scale + normalizer.mean
