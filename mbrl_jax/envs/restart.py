"""Begins new episodes where old ones are over."""

from __future__ import annotations

import jax

from mbrl_jax.types import Array, Env, EnvState, Key


def restart(env: Env, done: Array, state: EnvState, key: Key) -> EnvState:
  """Returns a reset state where ``done [] bool``, else ``state``.

  An environment that has a method ``restart(done, state, key)`` does this itself. Those on
  the host have, because under ``vmap`` both branches of a condition run: they leave the rows
  alone that are not over.
  """
  own = getattr(env, "restart", None)
  if own is not None:
    return own(done, state, key)
  return jax.lax.cond(done, lambda: env.reset(key), lambda: state)
