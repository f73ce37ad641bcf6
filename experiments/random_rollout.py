"""Runs episodes of a task with random or zero actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.validate import choice, seeds
from mbrl_jax.runtime.devices.compilation import compile_ahead
from mbrl_jax.types import Algorithm, Array, Budget, Env, EnvSpec, Key

POLICIES = ("random", "zero")
"""``random``: uniform within the bounds at every step; ``zero``: zero within the bounds."""


class RandomRollout(NamedTuple):
  """One episode.

  Attributes:
    poses: poses for rendering, after each step ``[T, Q]``.
    rewards: ``[T]``.
    terminated: whether the task terminated before the last step.
  """

  poses: np.ndarray
  rewards: np.ndarray
  terminated: bool


def run(env: Env, policy: str, *, steps: int | None = None, seed: int = 0) -> RandomRollout:
  """Runs an episode.

  Args:
    env: the task.
    policy: one of ``POLICIES``.
    steps: maximum control steps; ``None``: the task's episode length.
    seed: of the initial state and of random actions.

  Raises:
    ValueError: an unknown policy, or a seed out of range.
  """
  choose = _choose(env.spec, policy)
  seeds(seed)
  count = env.spec.episode_length if steps is None else steps

  @jax.jit
  def rollout(key):
    def body(state, key):
      act_key, env_key = jax.random.split(key)
      state, transition = env.step(state, choose(act_key), env_key)
      return state, (env.pose(state), transition.reward, transition.terminated)

    keys = jax.random.split(key, count + 1)
    return jax.lax.scan(body, env.reset(keys[0]), keys[1:])[1]

  compiled, _ = compile_ahead(rollout, jax.random.key(seed))
  poses, rewards, terminated = jax.device_get(compiled(jax.random.key(seed)))
  end = int(np.argmax(terminated)) + 1 if terminated.any() else count
  return RandomRollout(poses[:end], rewards[:end], bool(terminated.any()))


def acting(spec: EnvSpec, policy: str) -> Algorithm:
  """Returns an algorithm without parameters that acts so, for evaluations.

  Args:
    spec: of the task.
    policy: one of ``POLICIES``.

  Raises:
    ValueError: an unknown policy.
  """
  choose = _choose(spec, policy)
  return Algorithm(
    init=lambda key, envs=1: None,
    params=lambda state: (),
    act=lambda params, carry, obs, key: (choose(key), carry, {}),
    reset=lambda params, carry: carry,
    observe=lambda state, *seen: state,
    update=lambda state: (state, {}),
    budget=Budget({}, ""),
    deploy=lambda params: (params, ()),
    plans=False,
  )


def _choose(spec: EnvSpec, policy: str) -> Callable[[Key], Array]:
  """Returns ``key -> action [A]``."""
  choice("policy", policy, POLICIES)
  low, high = jnp.asarray(spec.action_low), jnp.asarray(spec.action_high)
  if policy == "random":
    return lambda key: jax.random.uniform(key, low.shape, minval=low, maxval=high)
  return lambda key: jnp.clip(jnp.zeros_like(low), low, high)


def pose_after(env: Env, steps: int, seed: int = 0) -> np.ndarray:
  """Returns the pose ``[Q]`` after random steps, at the latest before the task terminates.

  Args:
    env: the task.
    steps: control steps; 0: the pose of the initial state.
    seed: of the initial state and the actions.
  """
  episode = run(env, "random", steps=max(1, steps), seed=seed)
  kept = len(episode.poses) - episode.terminated if steps else 0
  if kept:
    return episode.poses[kept - 1]
  start = jax.random.split(jax.random.key(seed), max(1, steps) + 1)[0]
  return np.asarray(env.pose(jax.jit(env.reset)(start)))
