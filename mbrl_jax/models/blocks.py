"""Sums over the rows of a padded data set in blocks of a fixed size.

The rounding of a compiled sum or product over ``n`` rows depends on ``n``. In blocks the same
rows give the same bits whatever the padding, and blocks without valid rows are skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mbrl_jax.types import Array

BLOCK = 256


def padded_length(rows: int) -> int:
  """Returns the length of ``rows`` rows padded to whole blocks.

  At least two blocks and a row of padding: XLA removes redundant operations, and then fuses,
  and so rounds, other operations differently.
  """
  return BLOCK * max(2, rows // BLOCK + 1)


def in_blocks(x: Array, axis: int = 0) -> Array:
  """Splits ``axis`` into zero-padded blocks, ``[blocks, ..., BLOCK, ...]``."""
  length = padded_length(x.shape[axis])
  widths = [(0, 0)] * x.ndim
  widths[axis] = (0, length - x.shape[axis])
  x = jnp.pad(x, widths).reshape(*x.shape[:axis], -1, BLOCK, *x.shape[axis + 1 :])
  return jnp.moveaxis(x, axis, 0)


def over_blocks(
  function: Callable[..., tuple[Any, Any]], used: Array, *blocks: Array
) -> tuple[Any, Any]:
  """Applies ``function`` to each block.

  Args:
    function: ``(*block) -> (sums, rows)``.
    used: ``[blocks]`` bool, the blocks to compute.
    *blocks: ``[blocks, ...]`` each.

  Returns:
    The sums over the blocks, and ``rows`` of each block, ``[blocks, ...]``; 0 for a skipped
    block.
  """
  zeros = jax.tree.map(
    lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
    jax.eval_shape(function, *(x[0] for x in blocks)),
  )

  def body(total: Any, block: tuple[Array, ...]) -> tuple[Any, Any]:
    sums, rows = jax.lax.cond(block[0], function, lambda *_: zeros, *block[1:])
    return jax.tree.map(jnp.add, total, sums), rows

  # Without it a gradient stores the intermediates of each block, and zeros for skipped ones.
  return jax.lax.scan(jax.checkpoint(body), zeros[0], (used, *blocks))
