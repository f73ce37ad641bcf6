"""Diagonal Gaussians for probabilistic ensembles."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mbrl_jax.types import Array


def soft_bound(x: Array, low: Array, high: Array) -> Array:
  """Clips ``x`` smoothly to two bounds, which also receive gradients.

  First ``x <- high - softplus(high - x)``, then ``x <- low + softplus(x - low)``
  (PETS, Chua et al. 2018, and its released nets). The result may exceed ``high`` by
  ``softplus(low - high)``, some 3e-5 at the usual bounds of -10 and 0.5.
  """
  x = high - jax.nn.softplus(high - x)
  return low + jax.nn.softplus(x - low)


def bounded_variance(log_var: Array, low: Array, high: Array) -> Array:
  """Returns ``exp(soft_bound(log_var, low, high))`` with one exponential of ``log_var``.

  Inserting the definitions gives ``exp(low) + exp(high) sigmoid(log_var - high)``. Planning
  evaluates it for every output of every particle, so one transcendental function instead of
  five matters.
  """
  return jnp.exp(low) + jnp.exp(high) * jax.nn.sigmoid(log_var - high)


def gaussian_nll(mean: Array, log_var: Array, target: Array) -> Array:
  """Returns the elementwise negative log-likelihood, times two, without the constant.

  ``(mean - target)^2 exp(-log_var) + log_var``: without the factor 1/2 and the constant
  log(2 pi), as in PETS; the weights of weight decay and bound regularisers are relative to
  it.
  """
  return jnp.square(mean - target) * jnp.exp(-log_var) + log_var


def mixture_moments(means: Array, variances: Array) -> tuple[Array, Array]:
  """Returns mean and variance of a uniform mixture of ``E`` Gaussians.

  Args:
    means: ``[E, ...]``.
    variances: ``[E, ...]``.

  Returns:
    ``(mean [...], variance [...])``: the mean of the means; the mean variance
    plus the population variance of the means.
  """
  return means.mean(0), variances.mean(0) + means.var(0)


def positive_sqrt(variance: Array) -> Array:
  """Returns the square root, with gradient 0 instead of infinity at 0."""
  return jnp.sqrt(jnp.where(variance > 0, variance, 1.0)) * (variance > 0)
