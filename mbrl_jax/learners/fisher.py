"""The Fisher matrix of a Gaussian policy over the states of a policy step."""

from __future__ import annotations

import jax.numpy as jnp

from mbrl_jax.learners.policy_gradient import Samples
from mbrl_jax.networks.gaussian_policy import GaussianPolicy, GaussianPolicyParams
from mbrl_jax.ops.trust_region import Product, fisher_vector_product
from mbrl_jax.types import Array


def fisher_product(
  policy: GaussianPolicy,
  params: GaussianPolicyParams,
  samples: Samples,
  damping: Array | float,
  limit: int = 0,
) -> Product:
  """Returns ``v -> (F + damping) v``, ``F`` the Fisher matrix over the samples' states.

  A Gaussian's mean has the Fisher matrix ``diag(exp(-2 l))``, its log deviations ``l`` have
  ``diag(2)``.

  Args:
    policy: the policy.
    params: its parameters.
    samples: of the policy step.
    damping: added to the diagonal, ``[]``.
    limit: use at most so many valid samples, evenly spread over all, static; 0: all.
  """
  obs, valid = samples.obs, samples.valid
  if 0 < limit < valid.size:
    obs, valid = _spread(obs.reshape(valid.size, -1), valid.ravel(), limit)
  weight = jnp.where(valid, 1.0, 0.0) / jnp.maximum(jnp.sum(valid), 1)
  precision = jnp.exp(-2 * params.log_std)

  def outputs(params: GaussianPolicyParams) -> tuple[Array, Array]:
    return policy.mean(params, obs), params.log_std

  def metric(change: tuple[Array, Array]) -> tuple[Array, Array]:
    mean, log_std = change
    return weight[..., None] * precision * mean, 2 * weight.sum() * log_std

  return fisher_vector_product(outputs, metric, params, damping)


def _spread(rows: Array, valid: Array, limit: int) -> tuple[Array, Array]:
  """Returns ``limit`` rows, evenly spread over the valid ones, and which of them are valid.

  If fewer are valid, all of them are among the rows.
  """
  count, place = jnp.sum(valid, dtype=jnp.int32), jnp.arange(limit, dtype=jnp.int32)
  # In floating point, because the product of two counts may exceed 32 bits.
  spread = jnp.floor(place * (count / limit)).astype(jnp.int32)
  rank = jnp.where(count > limit, jnp.minimum(spread, count - 1), place)
  row = jnp.searchsorted(jnp.cumsum(valid, dtype=jnp.int32), rank + 1)
  return rows[jnp.minimum(row, len(rows) - 1)], place < count
