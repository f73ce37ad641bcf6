"""Runs a task under several action sources and records the transitions."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.restart import restart
from mbrl_jax.runtime.devices.compilation import compile_ahead
from mbrl_jax.types import Array, Env, EnvState, Key, Transition

ACTION_SOURCES = (
  "random actions",
  "random actions",
  "random actions",
  "held actions",
  "held actions",
  "actions at their lower bounds",
  "actions at their upper bounds",
  "actions at random bounds",
  "zero actions",
)
"""Action source of each row of a recording."""


class Recording(NamedTuple):
  """Consecutive episodes in ``R`` parallel rows, one row per action source.

  Attributes:
    transition: of every step, leaves ``[R, T, ...]`` (numpy).
    steps: control steps since the reset, including this one ``[R, T]``.
    state_obs: ``EnvState.obs`` after the step ``[R, T, O]``.
    observed: ``env.observe`` of the physics after the step ``[R, T, O]``.
    repeats: whether a second call of the compiled program gave equal results.
    seconds: duration of the second call.
  """

  transition: Transition
  steps: np.ndarray
  state_obs: np.ndarray
  observed: np.ndarray
  repeats: bool
  seconds: float

  @property
  def over(self) -> np.ndarray:
    """Which steps ended an episode ``[R, T]``."""
    return np.asarray(self.transition.terminated | self.transition.truncated)

  def where(self, flags: Any) -> str:
    """Describes the earliest step of an episode among ``flags [R, T]``."""
    row, step = min(np.argwhere(flags), key=lambda index: self.steps[tuple(index)])
    return f"in step {self.steps[row, step]} of an episode of {ACTION_SOURCES[row]}"


def record_transitions(env: Env, *, steps: int, seed: int = 0) -> Recording:
  """Records ``steps`` control steps in every row; environments are reset after an episode.

  Args:
    env: the task.
    steps: ``T``.
    seed: of states and actions.
  """
  keys = jax.random.split(jax.random.key(seed), len(ACTION_SOURCES))
  names = list(dict.fromkeys(ACTION_SOURCES))
  sources = np.array([names.index(name) for name in ACTION_SOURCES])
  rows = jax.jit(jax.vmap(lambda source, key: _row(env, source, key, steps)))
  run, _ = compile_ahead(rows, sources, keys)
  first = jax.device_get(run(sources, keys))
  start = time.perf_counter()
  second: tuple[Any, ...] = jax.device_get(run(sources, keys))
  seconds = time.perf_counter() - start
  transition, counts, state_obs, observed = second
  repeats = same(first, second)
  return Recording(transition, counts, state_obs, observed, repeats, seconds)


def same(a: Any, b: Any) -> bool:
  """Returns whether two pytrees hold equal numbers; NaN equals NaN."""
  equal = lambda x, y: np.array_equal(x, y, equal_nan=np.issubdtype(x.dtype, np.floating))
  return all(
    map(equal, map(np.asarray, jax.tree.leaves(a)), map(np.asarray, jax.tree.leaves(b)))
  )


def _row(env: Env, source: Array, key: Key, steps: int) -> tuple:
  """Runs the episodes of one row; returns the first four fields of ``Recording``."""

  def body(carry: tuple[EnvState, Array], step: Array) -> tuple[tuple[EnvState, Array], tuple]:
    state, episode = carry
    act_key, env_key, reset_key = jax.random.split(jax.random.fold_in(key, step), 3)
    held_key = jax.random.fold_in(jax.random.fold_in(key, 2**31 - 1), episode)
    action = _actions(env, act_key, held_key)[source]
    after, transition = env.step(state, action, env_key)
    seen = transition, after.steps, after.obs, env.observe(after.physics)
    over = transition.terminated | transition.truncated
    return (restart(env, over, after, reset_key), episode + over), seen

  start = env.reset(jax.random.fold_in(key, 2**31 - 2)), jnp.zeros((), jnp.int32)
  return jax.lax.scan(body, start, jnp.arange(steps))[1]


def _actions(env: Env, key: Key, held_key: Key) -> Array:
  """Returns the action of each distinct action source ``[K, A]``."""
  low, high = jnp.asarray(env.spec.action_low), jnp.asarray(env.spec.action_high)
  uniform = lambda key: jax.random.uniform(key, low.shape, minval=low, maxval=high)
  corner = jnp.where(jax.random.bernoulli(key, shape=low.shape), low, high)
  zero = jnp.clip(jnp.zeros_like(low), low, high)
  return jnp.stack([uniform(key), uniform(held_key), low, high, corner, zero])
