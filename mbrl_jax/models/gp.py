"""A sparse Gaussian process with the interface of the ensembles.

Titsias' variational sparse regression (2009), which PETS compares itself with (Chua et al.
2018): one squared-exponential kernel with a length scale for each input and one
noise variance ``s^2``, shared by all outputs; the inducing inputs are a random subset of the
data, drawn anew at each fit; predictions are those of the latent function, without
observation noise.

With ``K_uu = L L^T``, ``A = L^{-1} K_uf / s`` and ``B = I + A A^T = R^T R`` the bound on the
log marginal likelihood of outputs ``Y [N, O]`` is

  - O/2 [N log(2 pi s^2) + log det B + tr K_ff / s^2 - tr A A^T]
  - [|Y|^2 - |R^{-T} A Y|^2] / (2 s^2)

and the posterior at ``x``, with ``v = L^{-1} k_u(x)``, is

  mean = v^T B^{-1} A Y / s,   variance = k(x, x) - |v|^2 + |R^{-T} v|^2.

In float32 ``B`` is often too badly conditioned for a Cholesky factorisation, so ``R`` comes
from ``[A^T; I] = Q R`` by two rounds of Cholesky QR, the first one shifted (Fukaya et al.
2020): matrix products and small factorisations only.

*Deviations* from the original program, all for the sake of float32: inputs are normalised, and
outputs divided by their common root mean square (the kernel's variance absorbs it); the
noise has a floor of 1 % of that root mean square; inducing points for which there are no data
are left out instead of put at zero; hyper-parameters start at a length scale of ``sqrt(I)``
and a noise variance of 0.1. They are trained by the optimiser given to ``fit``, on full
batches, instead of L-BFGS. Rows with non-finite entries are left out.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from mbrl_jax.models.blocks import in_blocks, over_blocks
from mbrl_jax.models.data_split import finite_rows
from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.ops.float32 import single
from mbrl_jax.ops.matmul import matmul
from mbrl_jax.ops.normalize import Normalizer, fit_normalizer, identity_normalizer, normalize
from mbrl_jax.ops.validate import positive
from mbrl_jax.types import Array

_LOG_2PI = 1.8378770664093453
_NOISE_FLOOR = 1e-4
_TRAINABLE = ("log_lengthscale", "log_variance", "log_noise")


class Posterior(NamedTuple):
  """What a prediction needs, computed once after training.

  Attributes:
    weights: ``B^{-1} A Y / s [M, O]``.
    whiten: ``L^{-1} [M, M]``.
    shrink: ``R^{-1} [M, M]``.
  """

  weights: Array
  whiten: Array
  shrink: Array


class _Factors(NamedTuple):
  """What the bound and the posterior are made of, of ``N`` rows that count.

  Attributes:
    whiten: ``L^{-1} [M, M]``.
    shrink: ``R^{-1} [M, M]``.
    projected: ``R^{-T} A Y [M, O]``.
    log_det: ``log det B``.
    count: ``N``.
    features, targets: ``tr A A^T`` and ``|Y|^2``.
    misses: the squared error of the mean at the rows, outputs divided by ``scale``.
  """

  whiten: Array
  shrink: Array
  projected: Array
  log_det: Array
  count: Array
  features: Array
  targets: Array
  misses: Array


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


def make_gp(inducing_points: int = 200, *, jitter: float = 1e-4) -> Ensemble:
  """Makes a sparse GP; train it with ``fit(..., batch_size=None)``.

  Args:
    inducing_points: ``M``, number of inducing points.
    jitter: added to the diagonal of ``K_uu``, relative to the kernel's variance.

  Raises:
    ValueError: if an argument is not positive.
  """
  positive(inducing_points=inducing_points, jitter=jitter)

  def loss(params, inputs, targets, weights):
    return _loss(params, inputs[0], targets[0], weights[0], jitter)

  def finish(params, inputs, targets, size):
    weights = (jnp.arange(len(inputs)) < size).astype(jnp.float32)
    return params._replace(posterior=_condition(params, inputs, targets, weights, jitter))

  init = functools.partial(_init, inducing_points)
  functions = map(single, (init, _apply, loss, _prepare, finish))
  return Ensemble(*functions, "GP", 1, None, _TRAINABLE)


def _init(inducing_points, key, inputs, targets):
  """Is ``Ensemble.init``: the prior, without inducing points."""
  del key
  size, outputs = inputs.shape[-1], targets.shape[-1]
  square = jnp.zeros((inducing_points, inducing_points))
  return GPParams(
    log_lengthscale=jnp.full(size, math.log(size) / 2, jnp.float32),
    log_variance=jnp.zeros(()),
    log_noise=jnp.full((), math.log(0.1), jnp.float32),
    inducing_points=jnp.zeros((inducing_points, size)),
    active=jnp.zeros(inducing_points),
    inputs=identity_normalizer(size),
    scale=jnp.ones(()),
    posterior=Posterior(jnp.zeros((inducing_points, outputs)), square, square),
  )


def _prepare(params: GPParams, inputs, targets, size, key) -> GPParams:
  """Is ``Ensemble.prepare``: refits the scales, draws inducing points."""
  keep = (jnp.arange(len(inputs)) < size) & finite_rows(inputs, targets)
  normalizer = fit_normalizer(inputs, keep)
  count = jnp.maximum(keep.sum(), 1) * targets.shape[-1]
  squares, _ = over_blocks(
    lambda y, keep: (jnp.where(keep[:, None], jnp.square(y), 0.0).sum(), ()),
    *_blocks(keep, targets, keep),
  )
  scale = jnp.sqrt(squares / count)
  order = jnp.where(keep, jax.random.uniform(key, keep.shape), -1.0)
  points = len(params.inducing_points)
  spare = jnp.full(points, -1.0)  # for data sets that are shorter
  chosen, rows = jax.lax.top_k(jnp.concatenate([order, spare]), points)
  active = (chosen >= 0).astype(jnp.float32)
  inducing_points = normalize(normalizer, inputs[jnp.minimum(rows, len(inputs) - 1)])
  return params._replace(
    inducing_points=jnp.where(active[:, None] > 0, inducing_points, 0.0),
    active=active,
    inputs=normalizer,
    scale=jnp.where(scale > 0, scale, 1.0),
  )


def _apply(params: GPParams, x: Array) -> tuple[Array, Array]:
  """Is ``Ensemble.apply``: the latent function's posterior at ``x [I]``."""
  posterior, prior = params.posterior, jnp.exp(params.log_variance)
  k = _kernel(params, params.inducing_points, normalize(params.inputs, x)[None])[:, 0]
  v = matmul(posterior.whiten, k * params.active)
  mean = params.scale * matmul(v, posterior.weights)
  variance = prior - jnp.square(v).sum() + jnp.square(matmul(v, posterior.shrink)).sum()
  variance = jnp.maximum(variance, 1e-6 * prior) * jnp.square(params.scale)
  return mean, jnp.broadcast_to(variance, mean.shape)


def _loss(params: GPParams, x, y, weights, jitter: float):
  """Returns the negative bound per point, in target units, and the training error."""
  factors, noise = _factors(params, x, y, weights, jitter), _noise(params)
  count, outputs = jnp.maximum(factors.count, 1.0), y.shape[-1]
  missing = count * jnp.exp(params.log_variance) / noise - factors.features
  volume = count * (_LOG_2PI + jnp.log(noise)) + factors.log_det + missing
  misfit = (factors.targets - jnp.square(factors.projected).sum()) / noise
  loss = (outputs * volume + misfit) / (2 * count) + outputs * jnp.log(params.scale)
  return loss, {"mse": factors.misses[None] * jnp.square(params.scale) / (count * outputs)}


def _condition(params: GPParams, x, y, weights, jitter: float) -> Posterior:
  """Returns the posterior given the rows of positive weight."""
  factors = _factors(params, x, y, weights, jitter)
  projected = matmul(factors.shrink, factors.projected) / jnp.sqrt(_noise(params))
  return Posterior(projected, factors.whiten, factors.shrink)


def _factors(params: GPParams, x, y, weights, jitter: float) -> _Factors:
  """Factors the matrices of the rows of positive weight, block by block."""
  active, variance = params.active, jnp.exp(params.log_variance)
  gram = (
    _kernel(params, params.inducing_points, params.inducing_points) * active * active[:, None]
  )
  whiten, _ = _inverse_factor(gram + variance * jnp.diag(jitter + 1 - active))

  def features(x, y, weights):
    y, weights = _rows(params, x, y, weights)
    x = jnp.where(weights[:, None] > 0, normalize(params.inputs, x), 0.0)
    cross = _kernel(params, params.inducing_points, x) * active[:, None] * weights
    rows = matmul(cross.T, whiten.T) / jnp.sqrt(_noise(params))
    sums = matmul(rows.T, rows), jnp.square(rows).sum(), jnp.square(y).sum(), weights.sum()
    return sums, (rows, y)

  used, *blocks = _blocks(weights > 0, x, y, weights)
  (gram, squares, targets, count), (rows, y) = over_blocks(features, used, *blocks)
  basis, shrink, log_det = _orthogonal(used, rows, gram)
  projected, _ = over_blocks(lambda q, y: (matmul(q.T, y), ()), used, basis, y)
  fit = jax.lax.stop_gradient((basis, y, projected))  # nobody trains on the error itself
  miss = lambda q, y: (jnp.square(y - matmul(q, fit[2])).sum(), ())
  misses, _ = over_blocks(miss, used, *fit[:2])
  return _Factors(whiten, shrink, projected, log_det, count, squares, targets, misses)


def _orthogonal(used: Array, features: Array, gram: Array) -> tuple[Array, Array, Array]:
  """Factors ``[F; I] = Q R`` for ``F [N, M]`` in blocks, given ``F^T F``.

  Returns:
    The rows of ``Q`` that belong to ``F``, in blocks, ``R^{-1}``, and ``log det R^T R``.
  """

  def times(factor):
    def product(rows):
      rows = matmul(rows, factor.T)
      return matmul(rows.T, rows), rows

    return product

  identity = jnp.eye(features.shape[-1])
  gram = gram + identity
  shift = 4 * jnp.finfo(gram.dtype).eps * jnp.trace(gram)
  first, log_first = _inverse_factor(gram + shift * identity)
  (gram, upper), lower = over_blocks(times(first), used, features), first.T
  second, log_second = _inverse_factor(gram + matmul(lower.T, lower))
  _, basis = over_blocks(lambda rows: ((), matmul(rows, second.T)), used, upper)
  return basis, matmul(lower, second.T), log_first + log_second


def _blocks(keep: Array, *arrays: Array) -> tuple[Array, ...]:
  """Returns which blocks have rows to keep, and the arrays in blocks."""
  return in_blocks(keep).any(1), *map(in_blocks, arrays)


def _inverse_factor(matrix: Array) -> tuple[Array, Array]:
  """Returns the inverse of the lower Cholesky factor, and the log-determinant."""
  lower = jnp.linalg.cholesky(matrix)
  inverse = solve_triangular(lower, jnp.eye(len(lower)), lower=True)
  return inverse, 2 * jnp.log(jnp.diag(lower)).sum()


def _rows(params: GPParams, x, y, weights):
  """Returns scaled targets and weights, 0 where a row is not to count."""
  weights = weights * finite_rows(x, y)
  return jnp.where(weights[:, None] > 0, y / params.scale, 0.0), weights


def _noise(params: GPParams) -> Array:
  """Returns the noise variance of the scaled targets."""
  return _NOISE_FLOOR + jnp.exp(params.log_noise)


def _kernel(params: GPParams, a: Array, b: Array) -> Array:
  """Returns the kernel's matrix ``[len(a), len(b)]`` of normalised inputs."""
  inverse = jnp.exp(-params.log_lengthscale)
  a, b = a * inverse, b * inverse
  squares = jnp.square(a).sum(-1)[:, None] + jnp.square(b).sum(-1) - 2 * matmul(a, b.T)
  return jnp.exp(params.log_variance - jnp.maximum(squares, 0.0) / 2)
