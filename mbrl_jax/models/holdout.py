"""Judges the members of an ensemble on rows that they were not trained on."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.models.data_split import Split, finite_rows
from mbrl_jax.models.ensemble import Ensemble
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
  ensemble: Ensemble, params: Params, inputs: Array, targets: Array, split: Split, block: int
) -> Array:
  """Returns each member's mean squared error on the held-out rows, ``[E]``.

  Rows with non-finite entries do not count; ``block`` rows are predicted at a time. A single
  row, which is trained on, is what its error is taken on too.
  """
  held = jnp.maximum(split.held, 1)

  def body(i, sums):
    places = i * block + jnp.arange(block)
    rows = split.order[jnp.minimum(places, len(split.order) - 1)]
    x, y = inputs[rows], targets[rows]
    counts = (places < held) & finite_rows(x, y)

    def error(member):
      mean, _ = jax.vmap(ensemble.apply, (None, 0))(member, x)
      squares = jnp.square(mean - y).mean(-1)
      return jnp.where(counts, squares, 0.0).sum()

    errors = jax.vmap(error, (ensemble.params_axes,))(params)
    return sums[0] + errors, sums[1] + counts.sum()

  none = jnp.zeros(ensemble.members), jnp.zeros((), jnp.int32)
  total, count = jax.lax.fori_loop(0, (held + block - 1) // block, body, none)
  return total / jnp.maximum(count, 1)


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
