"""The axis of the environments that one learner acts in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mbrl_jax.types import Key


def over_envs(
  function: Callable[..., Any], envs: int, *, shared: int = 0
) -> Callable[..., Any]:
  """Maps a function over ``envs`` rows of its arguments, except the first ``shared``.

  A single row is not batched, so that ``cond`` in the function is not turned into ``select``.
  """
  if envs > 1:
    return lambda *args: jax.vmap(function, (None,) * shared + (0,) * (len(args) - shared))(
      *args
    )

  def one(*args: Any) -> Any:
    row = jax.tree.map(lambda x: x[0], args[shared:])
    return jax.tree.map(lambda x: jnp.asarray(x)[None], function(*args[:shared], *row))

  return one


def split_per_env(key: Key, envs: int) -> Key:
  """Returns one key per environment; with one environment the key itself."""
  return key[None] if envs == 1 else jax.random.split(key, envs)
