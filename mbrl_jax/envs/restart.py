"""Resets environments whose episode is done."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from mbrl_jax.types import Array, Env, EnvState, Key


def restart(env: Env, done: Array, state: EnvState, key: Key) -> EnvState:
  """Returns a reset state where ``done [] bool``, else ``state``.

  An environment with a method ``restart(done, state, key)`` does this itself. Environments on
  the host need one, because under ``vmap`` both branches of a condition run: their method
  leaves rows that are not done unchanged.
  """
  own = getattr(env, "restart", None)
  if own is not None:
    return own(done, state, key)
  return jax.lax.cond(done, lambda: env.reset(key), lambda: state)


def restart_rows(env: Env, done: Array, states: EnvState, keys: Key) -> EnvState:
  """Applies ``restart`` to several environments; leaves and keys are ``[N, ...]``.

  In a step in which no episode ends nothing is reset. A single row is not batched.
  """
  if len(done) == 1:
    state = jax.tree.map(lambda x: x[0], states)
    return jax.tree.map(lambda x: x[None], restart(env, done[0], state, keys[0]))
  own = getattr(env, "restart", None)
  if own is not None:
    return jax.vmap(own)(done, states, keys)
  fresh = lambda: choose_rows(done, jax.vmap(env.reset)(keys), states)
  return jax.lax.cond(done.any(), fresh, lambda: states)


def choose_rows(which: Array, new: Any, old: Any) -> Any:
  """Returns the rows of ``new`` where ``which [N]``, else those of ``old``."""
  own = lambda x: which.reshape(-1, *(1,) * (x.ndim - 1))
  return jax.tree.map(lambda a, b: jnp.where(own(a), a, b), new, old)
