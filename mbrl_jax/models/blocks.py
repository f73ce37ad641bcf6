"""Walks over the rows of a padded data set in blocks of one size.

How a compiled sum or product of ``n`` rows is rounded depends on ``n``. In blocks the same rows
give the same bits however many empty rows stand behind them, and blocks without any row that
counts are passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mbrl_jax.types import Array

BLOCK = 256


def padded_length(rows: int) -> int:
  """Returns how many rows the blocks have that hold ``rows`` rows.

  There are two blocks and a row of padding at least: XLA simplifies what is there in vain, and
  then fuses, and so rounds, other operations differently.
  """
  return BLOCK * max(2, rows // BLOCK + 1)


def in_blocks(x: Array, axis: int = 0) -> Array:
  """Cuts ``axis`` into blocks, ``[blocks, ..., BLOCK, ...]``, zeros behind the last row."""
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
    used: ``[blocks]`` bool, which of them count.
    *blocks: ``[blocks, ...]`` each.

  Returns:
    The sums over the blocks, and what was returned as ``rows`` for each, ``[blocks, ...]``;
    0 where a block does not count.
  """
  zeros = jax.tree.map(
    lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
    jax.eval_shape(function, *(x[0] for x in blocks)),
  )

  def body(total: Any, block: tuple) -> tuple[Any, Any]:
    sums, rows = jax.lax.cond(block[0], function, lambda *_: zeros, *block[1:])
    return jax.tree.map(jnp.add, total, sums), rows

  # Without it a gradient keeps what each block computed, and zeros for those passed over.
  return jax.lax.scan(jax.checkpoint(body), zeros[0], (used, *blocks))
