"""Single precision whatever ``jax_enable_x64`` says.

Nets, buffers, counters and random numbers of this package are 32 bits wide, so that a run
gives the same numbers in a process that enables x64 for other reasons. States of users'
environments and dynamics keep their own width.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np

_Function = TypeVar("_Function", bound=Callable[..., Any])

_NARROW: dict[np.dtype, type[np.generic]] = {
  np.dtype(np.float64): np.float32,
  np.dtype(np.int64): np.int32,
  np.dtype(np.uint64): np.uint32,
}


def single(function: _Function) -> _Function:
  """Makes ``function`` take, compute and return 32-bit numbers.

  Without x64 the function is called unchanged.

  Example:
    >>> import numpy as np
    >>> halve = single(lambda x: x / 2)
    >>> with jax.enable_x64(True):
    ...   halve(np.float64(3)).dtype
    dtype('float32')
  """

  @functools.wraps(function)
  def call(*args: Any, **kwargs: Any) -> Any:
    if jax.dtypes.canonicalize_dtype(np.float64) == np.float32:
      return function(*args, **kwargs)
    args, kwargs = narrow((args, kwargs))
    with jax.enable_x64(False):
      return narrow(function(*args, **kwargs))

  return cast(_Function, call)  # functools.wraps does not carry the type


def narrow(tree: Any) -> Any:
  """Casts 64-bit arrays in ``tree`` to 32 bits; leaves everything else unchanged."""
  return jax.tree.map(_narrow, tree)


def _narrow(leaf: Any) -> Any:
  if not isinstance(leaf, (jax.Array, np.ndarray, np.generic)):
    return leaf
  dtype = None if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else _NARROW.get(leaf.dtype)
  return leaf if dtype is None else leaf.astype(dtype)
