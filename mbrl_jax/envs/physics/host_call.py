"""Calls host functions from compiled code, once for a whole batch.

On CPUs the function gets views of XLA's buffers (``buffer_callback``) and creates no jax
array: ``jax.pure_callback`` copies its arguments in the thread pool in which it blocks, and
dead-locks on few cores once they are large (jax issues 24255 and 25861). It is used on
accelerators, whose programs do not wait in that pool. The host function itself must not run
jax either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.buffer_callback import buffer_callback

from mbrl_jax.types import Array


def host_call(
  function: Callable[..., tuple[np.ndarray, ...]],
  shapes: tuple[jax.ShapeDtypeStruct, ...],
  *arguments: Any,
) -> tuple[Array, ...]:
  """Returns ``function(*arguments)``, evaluated on the host.

  Args:
    function: maps arrays ``[*batch, ...]`` to a tuple of arrays ``[*batch, ...]``; must be
      pure, because XLA may call it more or less often than written. An exception in it ends
      the program with an error that quotes it.
    shapes: shapes of the results of a single example.
    *arguments: arrays of a single example; ``vmap`` adds its axis to all of them.
  """

  def fill(context: Any, out: tuple[Any, ...], *inputs: Any) -> None:
    del context
    results = function(*(np.asarray(x) for x in inputs))
    for buffer, result in zip(out, results, strict=True):
      np.asarray(buffer)[...] = result

  def fetch(*inputs: Any) -> tuple[np.ndarray, ...]:
    results = function(*(np.asarray(x) for x in inputs))
    return tuple(np.asarray(x, s.dtype) for x, s in zip(results, shapes, strict=True))

  return jax.lax.platform_dependent(
    *(jnp.asarray(x) for x in arguments),
    cpu=buffer_callback(fill, shapes, vmap_method="broadcast_all"),
    default=lambda *x: jax.pure_callback(fetch, shapes, *x, vmap_method="broadcast_all"),
  )
