"""Scores ensemble members on held-out rows and keeps their best snapshots."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.models.data_split import Split, finite_rows
from mbrl_jax.models.ensemble import Ensemble
from mbrl_jax.types import Array, Params


class BestSnapshots(NamedTuple):
  """Best snapshot of each member so far.

  Attributes:
    network: snapshots of the weights, leaves ``[E, ...]``.
    error: hold-out errors of the snapshots, ``[E]``.
    stale: epochs since any member improved, ``[]``.
  """

  network: Params
  error: Array
  stale: Array


def holdout_error(
  ensemble: Ensemble, params: Params, inputs: Array, targets: Array, split: Split, block: int
) -> Array:
  """Returns each member's mean squared error on the held-out rows, ``[E]``.

  Rows with non-finite entries are ignored; ``block`` rows are predicted at a time. A single
  valid row is both the training and the held-out row.
  """
  held = jnp.maximum(split.held, 1)

  def body(i: Array, sums: tuple[Array, Array]) -> tuple[Array, Array]:
    positions = i * block + jnp.arange(block)
    rows = split.order[jnp.minimum(positions, len(split.order) - 1)]
    x, y = inputs[rows], targets[rows]
    valid = (positions < held) & finite_rows(x, y)

    def error(member: Params) -> Array:
      mean, _ = jax.vmap(ensemble.apply, (None, 0))(member, x)
      squares = jnp.square(mean - y).mean(-1)
      return jnp.where(valid, squares, 0.0).sum()

    errors = jax.vmap(error, (ensemble.params_axes,))(params)
    return sums[0] + errors, sums[1] + valid.sum()

  zeros = jnp.zeros(ensemble.members), jnp.zeros((), jnp.int32)
  total, count = jax.lax.fori_loop(0, (held + block - 1) // block, body, zeros)
  return total / jnp.maximum(count, 1)


def keep_best(
  best: BestSnapshots, network: Params, error: Array, min_improvement: Array
) -> BestSnapshots:
  """Replaces the snapshots of members that improved by ``min_improvement``, relative."""
  better = error < best.error * (1 - min_improvement)

  def choose(new: Array, old: Array) -> Array:
    return jnp.where(better.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

  return BestSnapshots(
    jax.tree.map(choose, network, best.network),
    jnp.where(better, error, best.error),
    jnp.where(better.any(), 0, best.stale + 1),
  )
