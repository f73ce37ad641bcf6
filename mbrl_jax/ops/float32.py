"""Single precision whatever ``jax_enable_x64`` says.

Nets, buffers, counters and random numbers of this package are 32 bits wide, so that a run is
the same in a process that turns x64 on for other reasons. What users bring along, the states
of their environments and dynamics, keeps its own width.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_NARROW = {
  np.dtype(np.float64): np.float32,
  np.dtype(np.int64): np.int32,
  np.dtype(np.uint64): np.uint32,
}


def single(function: Callable) -> Callable:
  """Returns ``function`` with 32-bit numbers: those it is given, makes and returns.

  Without x64 it is called as it is.
  """

  @functools.wraps(function)
  def call(*args: Any, **kwargs: Any) -> Any:
    if jax.dtypes.canonicalize_dtype(np.float64) == np.float32:
      return function(*args, **kwargs)
    args, kwargs = narrow((args, kwargs))
    with jax.enable_x64(False):
      return narrow(function(*args, **kwargs))

  return call


def narrow(tree: Any) -> Any:
  """Returns ``tree`` with 64-bit arrays as 32-bit ones; everything else as it is."""
  return jax.tree.map(_narrow, tree)


def _narrow(leaf: Any) -> Any:
  if not isinstance(leaf, (jax.Array, np.ndarray, np.generic)):
    return leaf
  dtype = None if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else _NARROW.get(leaf.dtype)
  return leaf if dtype is None else leaf.astype(dtype)
