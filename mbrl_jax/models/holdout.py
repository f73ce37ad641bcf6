"""Judges the members of an ensemble on rows that they were not trained on."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.models.rows import Split, finite_rows
from mbrl_jax.types import Array, Params


class Best(NamedTuple):
  """The best that each member has been.

  Attributes:
    network: snapshots of the weights, leaves ``[E, ...]``.
    error: their hold-out errors, ``[E]``.
    stale: epochs since any member improved, ``[]``.
  """

  network: Params
  error: Array
  stale: Array


def holdout_error(
  ensemble: Ensemble, params: Params, inputs: Array, targets: Array, split: Split, cap: int
) -> Array:
  """Returns each member's mean squared error on the held-out rows, ``[E]``.

  Rows with non-finite entries do not count. ``cap`` is the most rows that can be held out. A
  single row, which is trained on, is what its error is taken on too.
  """
  inputs, targets = inputs[split.order[:cap]], targets[split.order[:cap]]
  counts = (jnp.arange(cap) < jnp.maximum(split.held, 1)) & finite_rows(inputs, targets)

  def error(member):
    mean, _ = jax.vmap(ensemble.apply, (None, 0))(member, inputs)
    squares = jnp.square(mean - targets).mean(-1)
    return jnp.where(counts, squares, 0.0).sum() / jnp.maximum(counts.sum(), 1)

  return jax.vmap(error, (ensemble.params_axes,))(params)


def keep_best(best: Best, network: Params, error: Array, min_improvement: Array) -> Best:
  """Replaces the snapshots of the members that improved enough."""
  better = error < best.error * (1 - min_improvement)

  def choose(new, old):
    return jnp.where(better.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

  return Best(
    jax.tree.map(choose, network, best.network),
    jnp.where(better, error, best.error),
    jnp.where(better.any(), 0, best.stale + 1),
  )
