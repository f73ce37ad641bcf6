"""Kernel, bound and posterior of the sparse Gaussian process; for equations see ``gp``."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from mbrl_jax.models.blocks import in_blocks, over_blocks
from mbrl_jax.models.data_split import finite_rows
from mbrl_jax.ops.matmul import matmul
from mbrl_jax.ops.normalize import Normalizer, normalize
from mbrl_jax.types import Array

_NOISE_FLOOR = 1e-4


class Posterior(NamedTuple):
  """Cache of a prediction, computed once after training.

  Attributes:
    weights: ``B^{-1} A Y / s [M, O]``.
    whiten: ``L^{-1} [M, M]``.
    shrink: ``R^{-1} [M, M]``.
  """

  weights: Array
  whiten: Array
  shrink: Array


class GPParams(NamedTuple):
  """Parameters of a sparse GP.

  Attributes:
    log_lengthscale: ``[I]``, in units of the normalised inputs.
    log_variance: ``[]``, of the kernel, outputs divided by ``scale``.
    log_noise: ``[]``, of the noise variance above its floor, likewise.
    inducing_points: ``[M, I]``, normalised.
    active: ``[M]``, 1 for the inducing points in use and 0 for the rest.
    inputs: normaliser of ``[I]``.
    scale: ``[]``, root mean square of the outputs.
    posterior: cache for ``apply``; before the first fit, that of the prior.
  """

  log_lengthscale: Array
  log_variance: Array
  log_noise: Array
  inducing_points: Array
  active: Array
  inputs: Normalizer
  scale: Array
  posterior: Posterior


class Factors(NamedTuple):
  """Matrix factors from which bound and posterior follow, for ``N`` valid rows.

  Attributes:
    whiten: ``L^{-1} [M, M]``.
    shrink: ``R^{-1} [M, M]``.
    projected: ``R^{-T} A Y [M, O]``.
    log_det: ``log det B``.
    num_rows: ``N``.
    features, targets: ``tr A A^T`` and ``|Y|^2``.
    squared_error: of the mean at the rows, outputs divided by ``scale``.
  """

  whiten: Array
  shrink: Array
  projected: Array
  log_det: Array
  num_rows: Array
  features: Array
  targets: Array
  squared_error: Array


def condition(
  params: GPParams, inputs: Array, targets: Array, weights: Array, jitter: float
) -> Posterior:
  """Returns the posterior given the rows of positive weight."""
  factors = factorize(params, inputs, targets, weights, jitter)
  projected = matmul(factors.shrink, factors.projected) / jnp.sqrt(noise_variance(params))
  return Posterior(projected, factors.whiten, factors.shrink)


def factorize(
  params: GPParams, inputs: Array, targets: Array, weights: Array, jitter: float
) -> Factors:
  """Factorises the matrices of the rows of positive weight, block by block."""
  active, variance = params.active, jnp.exp(params.log_variance)
  gram = (
    kernel(params, params.inducing_points, params.inducing_points) * active * active[:, None]
  )
  whiten, _ = _inverse_factor(gram + variance * jnp.diag(jitter + 1 - active))

  def features(x: Array, y: Array, weights: Array) -> tuple[Any, Any]:
    y, weights = _valid_rows(params, x, y, weights)
    x = jnp.where(weights[:, None] > 0, normalize(params.inputs, x), 0.0)
    cross = kernel(params, params.inducing_points, x) * active[:, None] * weights
    rows = matmul(cross.T, whiten.T) / jnp.sqrt(noise_variance(params))
    sums = matmul(rows.T, rows), jnp.square(rows).sum(), jnp.square(y).sum(), weights.sum()
    return sums, (rows, y)

  used, *blocks = split_blocks(weights > 0, inputs, targets, weights)
  (gram, squares, target_sum, count), (rows, y) = over_blocks(features, used, *blocks)
  basis, shrink, log_det = _orthogonalize(used, rows, gram)
  projected, _ = over_blocks(lambda q, y: (matmul(q.T, y), ()), used, basis, y)
  fit = jax.lax.stop_gradient((basis, y, projected))  # the error is a metric, never a loss
  squared_error = lambda q, y: (jnp.square(y - matmul(q, fit[2])).sum(), ())
  errors, _ = over_blocks(squared_error, used, *fit[:2])
  return Factors(whiten, shrink, projected, log_det, count, squares, target_sum, errors)


def _orthogonalize(used: Array, features: Array, gram: Array) -> tuple[Array, Array, Array]:
  """Factorises ``[F; I] = Q R`` for ``F [N, M]`` in blocks, given ``F^T F``.

  Returns:
    The rows of ``Q`` that belong to ``F``, in blocks, ``R^{-1}``, and ``log det R^T R``.
  """
  identity = jnp.eye(features.shape[-1])
  gram = gram + identity
  shift = 4 * jnp.finfo(gram.dtype).eps * jnp.trace(gram)
  first, log_first = _inverse_factor(gram + shift * identity)

  def product(rows: Array) -> tuple[Array, Array]:
    rows = matmul(rows, first.T)
    return matmul(rows.T, rows), rows

  (gram, upper), lower = over_blocks(product, used, features), first.T
  second, log_second = _inverse_factor(gram + matmul(lower.T, lower))
  _, basis = over_blocks(lambda rows: ((), matmul(rows, second.T)), used, upper)
  return basis, matmul(lower, second.T), log_first + log_second


def split_blocks(keep: Array, *arrays: Array) -> tuple[Array, ...]:
  """Returns the mask of blocks with rows to keep, and the arrays in blocks."""
  return in_blocks(keep).any(1), *map(in_blocks, arrays)


def _inverse_factor(matrix: Array) -> tuple[Array, Array]:
  """Returns the inverse of the lower Cholesky factor, and the log-determinant."""
  lower = jnp.linalg.cholesky(matrix)
  inverse = solve_triangular(lower, jnp.eye(len(lower)), lower=True)
  return inverse, 2 * jnp.log(jnp.diag(lower)).sum()


def _valid_rows(params: GPParams, x: Array, y: Array, weights: Array) -> tuple[Array, Array]:
  """Returns scaled targets and weights, 0 in invalid rows."""
  weights = weights * finite_rows(x, y)
  return jnp.where(weights[:, None] > 0, y / params.scale, 0.0), weights


def noise_variance(params: GPParams) -> Array:
  """Returns the noise variance of the scaled targets."""
  return _NOISE_FLOOR + jnp.exp(params.log_noise)


def kernel(params: GPParams, a: Array, b: Array) -> Array:
  """Returns the kernel matrix ``[len(a), len(b)]`` of normalised inputs."""
  inverse = jnp.exp(-params.log_lengthscale)
  a, b = a * inverse, b * inverse
  squares = jnp.square(a).sum(-1)[:, None] + jnp.square(b).sum(-1) - 2 * matmul(a, b.T)
  return jnp.exp(params.log_variance - jnp.maximum(squares, 0.0) / 2)
