"""Sparse Gaussian process with the interface of ``Ensemble``.

Titsias' variational sparse regression (2009), a baseline of PETS (Chua et al. 2018): one
squared-exponential kernel with a length scale for each input and one noise variance ``s^2``,
shared by all outputs; the inducing inputs are a random subset of the data, redrawn at each
fit; predictions are those of the latent function, without observation noise.

With ``K_uu = L L^T``, ``A = L^{-1} K_uf / s`` and ``B = I + A A^T = R^T R`` the bound on the
log marginal likelihood of outputs ``Y [N, O]`` is

  - O/2 [N log(2 pi s^2) + log det B + tr K_ff / s^2 - tr A A^T]
  - [|Y|^2 - |R^{-T} A Y|^2] / (2 s^2)

and the posterior at ``x``, with ``v = L^{-1} k_u(x)``, is

  mean = v^T B^{-1} A Y / s,   variance = k(x, x) - |v|^2 + |R^{-T} v|^2.

In float32 ``B`` is often too ill-conditioned for a Cholesky factorisation, so ``R`` comes from
``[A^T; I] = Q R`` by two rounds of Cholesky QR, the first one shifted (Fukaya et al. 2020):
matrix products and small factorisations only.

*Deviations* from the original program, all because of float32: inputs are normalised, and
outputs divided by their common root mean square (the kernel's variance absorbs it); the
noise has a floor of 1 % of that root mean square; inducing points without data are inactive
instead of at zero; hyper-parameters start at a length scale of ``sqrt(I)`` and a noise
variance of 0.1. They are trained by the optimiser given to ``fit``, on full batches, instead
of L-BFGS. Rows with non-finite entries are ignored.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from mbrl_jax.models.blocks import over_blocks
from mbrl_jax.models.data_split import finite_rows
from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.models.gp_posterior import (
  GPParams,
  Posterior,
  condition,
  factorize,
  kernel,
  noise_variance,
  split_blocks,
)
from mbrl_jax.ops.float32 import single
from mbrl_jax.ops.matmul import matmul
from mbrl_jax.ops.normalize import fit_normalizer, identity_normalizer, normalize
from mbrl_jax.ops.validate import positive
from mbrl_jax.types import Array, Key, Metrics

_LOG_2PI = 1.8378770664093453
_TRAINABLE = ("log_lengthscale", "log_variance", "log_noise")


def make_gp(inducing_points: int = 200, *, jitter: float = 1e-4) -> Ensemble:
  """Makes a sparse GP; train it with ``fit(..., batch_size=None)``.

  Args:
    inducing_points: ``M``, number of inducing points.
    jitter: added to the diagonal of ``K_uu``, relative to the kernel's variance.

  Raises:
    ValueError: if an argument is not positive.

  Example:
    >>> gp = make_gp(inducing_points=5)
    >>> params = gp.init(jax.random.key(0), jnp.zeros(3), jnp.zeros(2))
    >>> mean, variance = gp.apply(params, jnp.ones(3))  # the prior
    >>> mean.tolist(), variance.tolist()
    ([0.0, 0.0], [1.0, 1.0])
  """
  positive(inducing_points=inducing_points, jitter=jitter)

  def loss(
    params: GPParams, inputs: Array, targets: Array, weights: Array
  ) -> tuple[Array, Metrics]:
    return _loss(params, inputs[0], targets[0], weights[0], jitter)

  def finish(params: GPParams, inputs: Array, targets: Array, size: Array) -> GPParams:
    weights = (jnp.arange(len(inputs)) < size).astype(jnp.float32)
    return params._replace(posterior=condition(params, inputs, targets, weights, jitter))

  return Ensemble(
    init=single(functools.partial(_init, inducing_points)),
    apply=single(_apply),
    loss=single(loss),
    prepare=single(_prepare),
    finish=single(finish),
    kind="GP",
    members=1,
    params_axes=None,
    trainable=_TRAINABLE,
  )


def _init(inducing_points: int, key: Key, inputs: Any, targets: Any) -> GPParams:
  """Implements ``Ensemble.init``: the prior, without inducing points."""
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


def _prepare(
  params: GPParams, inputs: Array, targets: Array, size: Array, key: Key
) -> GPParams:
  """Implements ``Ensemble.prepare``: refits the scales, draws inducing points."""
  keep = (jnp.arange(len(inputs)) < size) & finite_rows(inputs, targets)
  normalizer = fit_normalizer(inputs, keep)
  count = jnp.maximum(keep.sum(), 1) * targets.shape[-1]
  squares, _ = over_blocks(
    lambda y, keep: (jnp.where(keep[:, None], jnp.square(y), 0.0).sum(), ()),
    *split_blocks(keep, targets, keep),
  )
  scale = jnp.sqrt(squares / count)
  order = jnp.where(keep, jax.random.uniform(key, keep.shape), -1.0)
  points = len(params.inducing_points)
  spare = jnp.full(points, -1.0)  # if the data set is shorter
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
  """Implements ``Ensemble.apply``: the latent function's posterior at ``x [I]``."""
  posterior, prior = params.posterior, jnp.exp(params.log_variance)
  k = kernel(params, params.inducing_points, normalize(params.inputs, x)[None])[:, 0]
  v = matmul(posterior.whiten, k * params.active)
  mean = params.scale * matmul(v, posterior.weights)
  variance = prior - jnp.square(v).sum() + jnp.square(matmul(v, posterior.shrink)).sum()
  variance = jnp.maximum(variance, 1e-6 * prior) * jnp.square(params.scale)
  return mean, jnp.broadcast_to(variance, mean.shape)


def _loss(
  params: GPParams, x: Array, y: Array, weights: Array, jitter: float
) -> tuple[Array, Metrics]:
  """Returns the negative bound per point, in target units, and the training error."""
  factors, noise = factorize(params, x, y, weights, jitter), noise_variance(params)
  count, outputs = jnp.maximum(factors.num_rows, 1.0), y.shape[-1]
  residual = count * jnp.exp(params.log_variance) / noise - factors.features
  volume = count * (_LOG_2PI + jnp.log(noise)) + factors.log_det + residual
  misfit = (factors.targets - jnp.square(factors.projected).sum()) / noise
  loss = (outputs * volume + misfit) / (2 * count) + outputs * jnp.log(params.scale)
  mse = factors.squared_error[None] * jnp.square(params.scale) / (count * outputs)
  return loss, {"mse": mse}
