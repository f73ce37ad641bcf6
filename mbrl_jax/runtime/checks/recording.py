"""Runs a task under many kinds of actions and records what happens."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.restart import restart
from mbrl_jax.runtime.devices.compilation import compile_ahead
from mbrl_jax.types import Array, Env, Key, Transition

ACTORS = (
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
"""What acts in each row of a recording."""


class Recording(NamedTuple):
  """Episodes one after the other, as many rows at once as there are ``ACTORS``.

  Attributes:
    transition: of every step, leaves ``[R, T, ...]`` (numpy).
    steps: control steps since the reset, this one included ``[R, T]``.
    state_obs: ``EnvState.obs`` after the step ``[R, T, O]``.
    observed: ``env.observe`` of the physics after the step ``[R, T, O]``.
    repeats: whether a second call of the compiled program gave the very same.
    seconds: that second call took.
  """

  transition: Transition
  steps: np.ndarray
  state_obs: np.ndarray
  observed: np.ndarray
  repeats: bool
  seconds: float

  @property
  def over(self) -> np.ndarray:
    """Says which steps ended an episode ``[R, T]``."""
    return self.transition.terminated | self.transition.truncated

  def where(self, flags: np.ndarray) -> str:
    """Says in words where the first of ``flags [R, T]`` is, by the length of the episode."""
    row, step = min(np.argwhere(flags), key=lambda index: self.steps[tuple(index)])
    return f"in step {self.steps[row, step]} of an episode of {ACTORS[row]}"


def record_transitions(env: Env, *, steps: int, seed: int = 0) -> Recording:
  """Records ``steps`` control steps in every row; an episode that is over is followed by one.

  Args:
    env: the task.
    steps: ``T``.
    seed: of states and actions.
  """
  keys = jax.random.split(jax.random.key(seed), len(ACTORS))
  kinds = np.array([list(dict.fromkeys(ACTORS)).index(name) for name in ACTORS])
  rows = jax.jit(jax.vmap(lambda kind, key: _row(env, kind, key, steps)))
  run, _ = compile_ahead(rows, kinds, keys)
  first = jax.device_get(run(kinds, keys))
  begun = time.perf_counter()
  second = jax.device_get(run(kinds, keys))
  seconds = time.perf_counter() - begun
  return Recording(*second, same(first, second), seconds)


def same(a: Any, b: Any) -> bool:
  """Says whether two pytrees hold the same numbers, NaN being like NaN."""
  equal = lambda x, y: np.array_equal(x, y, equal_nan=np.issubdtype(x.dtype, np.floating))
  return all(
    map(equal, map(np.asarray, jax.tree.leaves(a)), map(np.asarray, jax.tree.leaves(b)))
  )


def _row(env: Env, kind: Array, key: Key, steps: int) -> tuple:
  """Runs the episodes of one row."""

  def body(carry, step):
    state, episode = carry
    act_key, env_key, reset_key = jax.random.split(jax.random.fold_in(key, step), 3)
    held_key = jax.random.fold_in(jax.random.fold_in(key, 2**31 - 1), episode)
    action = _actions(env, act_key, held_key)[kind]
    after, transition = env.step(state, action, env_key)
    seen = transition, after.steps, after.obs, env.observe(after.physics)
    over = transition.terminated | transition.truncated
    return (restart(env, over, after, reset_key), episode + over), seen

  start = env.reset(jax.random.fold_in(key, 2**31 - 2)), jnp.zeros((), jnp.int32)
  return jax.lax.scan(body, start, jnp.arange(steps))[1]


def _actions(env: Env, key: Key, held_key: Key) -> Array:
  """Returns what each of the different ``ACTORS`` does ``[K, A]``."""
  low, high = jnp.asarray(env.spec.action_low), jnp.asarray(env.spec.action_high)
  uniform = lambda key: jax.random.uniform(key, low.shape, minval=low, maxval=high)
  corner = jnp.where(jax.random.bernoulli(key, shape=low.shape), low, high)
  zero = jnp.clip(jnp.zeros_like(low), low, high)
  return jnp.stack([uniform(key), uniform(held_key), low, high, corner, zero])
