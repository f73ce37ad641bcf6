"""Running mean and variance of rows that arrive in batches.

Two sets of ``n_a`` and ``n_b`` rows merge to::

  n    = n_a + n_b,     d = mean_b - mean_a
  mean = mean_a + d n_b / n
  var  = var_a n_a / n + var_b n_b / n + d^2 n_a n_b / n^2

Source: Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance".
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from mbrl_jax.ops.normalize import Normalizer
from mbrl_jax.types import Array

_CONSTANT = 1e-5  # a float32 deviation below this, relative to the mean, is rounding error


class RunningStatistics(NamedTuple):
  """Statistics of all rows so far.

  Attributes:
    rows: their number, ``[]`` float32: an int32 would overflow in long runs.
    mean: ``[D]``.
    variance: of the population, ``[D]``.
  """

  rows: Array
  mean: Array
  variance: Array


def no_statistics(dim: int) -> RunningStatistics:
  """Returns the statistics of no rows of ``dim`` numbers."""
  zeros = jnp.zeros(dim, jnp.float32)
  return RunningStatistics(jnp.zeros((), jnp.float32), zeros, zeros)


def add_rows(statistics: RunningStatistics, x: Array, mask: Array) -> RunningStatistics:
  """Merges the rows of a batch.

  Args:
    statistics: of the rows so far.
    x: ``[B, D]``.
    mask: ``[B]`` bool, the valid rows. Rows with a non-finite entry are ignored, too.

  Example:
    >>> x = jnp.array([[1.0], [3.0], [99.0]])
    >>> seen = add_rows(no_statistics(1), x, jnp.array([True, True, False]))
    >>> seen = add_rows(seen, jnp.array([[5.0], [7.0]]), jnp.ones(2, bool))
    >>> seen.rows.item(), seen.mean.item(), seen.variance.item()
    (4.0, 4.0, 5.0)
  """
  used = (mask & jnp.isfinite(x).all(-1))[:, None]
  added = jnp.sum(used, dtype=jnp.float32)
  average = lambda x: jnp.sum(jnp.where(used, x, 0.0), 0) / jnp.maximum(added, 1.0)
  mean = average(x)
  mean = mean + average(x - mean)  # exact for constant columns
  total = statistics.rows + added
  share = added / jnp.maximum(total, 1.0)
  shift = mean - statistics.mean
  within = (1.0 - share) * statistics.variance + share * average(jnp.square(x - mean))
  return RunningStatistics(
    total,
    statistics.mean + share * shift,
    within + share * (1.0 - share) * jnp.square(shift),
  )


def normalizer_of(statistics: RunningStatistics) -> Normalizer:
  """Returns the map to mean 0 and deviation 1; constant columns, and no rows, have scale 1.

  Example:
    >>> normalizer_of(no_statistics(2)).scale.tolist()
    [1.0, 1.0]
  """
  deviation = jnp.sqrt(statistics.variance)
  constant = deviation < _CONSTANT * jnp.maximum(1.0, jnp.abs(statistics.mean))
  return Normalizer(statistics.mean, jnp.where(constant, 1.0, deviation))


def root_mean_square(statistics: RunningStatistics) -> Array:
  """Returns the root of the mean squares ``[D]``; 1 where they are 0, and for no rows.

  Example:
    >>> seen = add_rows(no_statistics(1), jnp.array([[3.0], [-3.0]]), jnp.ones(2, bool))
    >>> root_mean_square(seen).tolist(), root_mean_square(no_statistics(1)).tolist()
    ([3.0], [1.0])
  """
  square = statistics.variance + jnp.square(statistics.mean)
  return jnp.where(square > 0, jnp.sqrt(square), 1.0)
