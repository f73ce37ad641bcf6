"""Compiled training steps and evaluations of any algorithm in any environment.

``make_step`` takes a fixed number of environment steps and the learning that goes with them in
one compiled call; ``make_evaluation`` runs whole episodes without learning.

In training a non-finite action never reaches the environment or the buffer: it is replaced by
the middle of the bounds, and counted. In an evaluation it is not replaced, and the return is
NaN. Non-finite transitions are also counted; buffers do not store them (``buffers.ring``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.action_mask import mask_nonfinite
from mbrl_jax.algorithms.parts.env_axis import over_envs, split_per_env
from mbrl_jax.algorithms.parts.success import count_solved, episode_success, init_counts
from mbrl_jax.buffers import ring
from mbrl_jax.envs.restart import choose_rows, restart_rows
from mbrl_jax.ops.float32 import narrow
from mbrl_jax.ops.validate import ArgumentError, positive
from mbrl_jax.types import (
  Algorithm,
  Array,
  Env,
  EnvState,
  Key,
  Metrics,
  TrainState,
  Transition,
)


class Rollout(NamedTuple):
  """State of data collection.

  Attributes:
    env: states of the environments, leaves ``[N, ...]``.
    episode_return: returns so far of the running episodes, ``[N]``.
    episodes: finished episodes of each environment, ``[N]`` int32.
    solved: solved steps of the running episodes, see ``parts.success``.
  """

  env: EnvState
  episode_return: Array
  episodes: Array
  solved: Array | None = None


def init_state(algorithm: Algorithm, env: Env, key: Key, envs: int = 1) -> TrainState:
  """Makes the initial state of a run; ``vmap`` over keys for seeds.

  Args:
    algorithm: the algorithm.
    env: its environment.
    key: typed key.
    envs: ``N``, environments of the learner.

  Raises:
    ValueError: see ``check_envs``, or an invalid ``spec.success``.

  Example:
    >>> from mbrl_jax import make_algorithm, make_env
    >>> env = make_env("pendulum")
    >>> state = init_state(make_algorithm("sac", env.spec), env, jax.random.key(0), envs=2)
    >>> state.rollout.env.obs.shape
    (2, 3)
  """
  check_envs(algorithm, env, envs)
  algorithm_key, env_key = jax.random.split(key)
  start = over_envs(env.reset, envs)(split_per_env(env_key, envs))
  solved = init_counts(env.spec.success, envs)
  rollout = Rollout(start, jnp.zeros(envs, jnp.float32), jnp.zeros(envs, jnp.int32), solved)
  return algorithm.init(algorithm_key, envs)._replace(rollout=rollout)


def check_envs(algorithm: Algorithm, env: Env, envs: int) -> None:
  """Checks the number of environments of a learner.

  Raises:
    ValueError: it is not positive, exceeds the maximum of the adapter of ``env``, or does not
      divide the step and episode counts of the config; suggests valid counts.
  """
  positive(envs=envs)
  most = getattr(env, "max_envs", None)
  if most is not None and envs > most:
    raise ArgumentError("envs", envs, f"is more than {env.spec.name!r} can make: {most}.")
  uneven = {name: n for name, n in algorithm.budget.counts.items() if n % envs}
  if uneven:
    multiples = {name: -(-n // envs) * envs for name, n in uneven.items()}
    each = ", ".join(["{}"] * len(uneven))
    text = f"does not divide {each}, counted over all environments: choose multiples, such as "
    raise ArgumentError("envs", envs, f"{text}{each}.", *uneven.items(), *multiples.items())


def make_step(
  algorithm: Algorithm,
  env: Env,
  *,
  steps: int | None = None,
  envs: int = 1,
  seeds: int | None = None,
  compiler_options: dict[str, Any] | None = None,
) -> Callable[[TrainState], tuple[TrainState, Metrics]]:
  """Makes the compiled training step.

  One call takes ``steps`` environment steps, ``steps / envs`` in each environment, which is
  reset at the end of each episode. ``algorithm.learn`` follows each step of all environments,
  ``algorithm.update`` the last one. While ``algorithm.idle``, or once the run has had its
  episodes, no step is taken.

  Args:
    algorithm: the algorithm.
    env: its environment.
    steps: ``K``, environment steps per call at most, of all environments together; a divisor of
      the episode length avoids idle steps of an algorithm that learns after each episode. By
      default one of each environment.
    envs: ``N``, environments of the learner, as in ``init_state``.
    seeds: independent runs at once; every leaf then has a leading ``[seeds]``.
    compiler_options: for XLA, see ``runtime.devices``.

  Returns:
    A jitted ``(TrainState) -> (TrainState, metrics)``. Row ``t N + i`` of the ``K`` rows of the
    metrics is step ``t`` of environment ``i``:
    ``taken [K]`` (false for no step; the rest of such a row is zero),
    ``transition`` (leaves ``[K, ...]``), ``pose [K, Q]``, ``done [K]``,
    ``episode_return [K]`` (of the episode so far), ``success [K]`` (of an episode that ends
    here; only if the task defines it), ``info`` (leaves ``[K, ...]``, from ``algorithm.act``,
    with ``masked_actions [K]`` and ``nonfinite_transitions [K]``, 1 where there was one) and
    ``update`` (from ``algorithm.update``).

  Raises:
    ValueError: see ``check_envs``; steps that are not a positive multiple of ``envs``.

  Example:
    >>> from mbrl_jax import make_algorithm, make_env
    >>> env = make_env("pendulum")
    >>> algorithm = make_algorithm("sac", env.spec)
    >>> step = make_step(algorithm, env, steps=2)
    >>> state, metrics = step(init_state(algorithm, env, jax.random.key(0)))
    >>> metrics["transition"].obs.shape
    (2, 3)
  """
  check_envs(algorithm, env, envs)
  steps = envs if steps is None else steps
  positive(steps=steps)
  if steps % envs:
    raise ArgumentError("steps", steps, "must be a multiple of {}.", ("envs", envs))

  step = functools.partial(_chunk, algorithm, env, steps, envs)
  batched = step if seeds is None else jax.vmap(step, axis_size=seeds)
  return jax.jit(batched, compiler_options=compiler_options)


def _chunk(
  algorithm: Algorithm, env: Env, steps: int, envs: int, state: TrainState
) -> tuple[TrainState, Metrics]:
  """Takes one call of ``make_step``."""

  def body(state: TrainState, _: None) -> tuple[TrainState, Metrics]:
    state, metrics = env_step(algorithm, env, state)
    return state, jax.tree.map(lambda x: x[0], metrics) if envs == 1 else metrics

  state, metrics = jax.lax.scan(body, state, length=steps // envs)
  if envs > 1:
    metrics = jax.tree.map(lambda x: x.reshape(steps, *x.shape[2:]), metrics)
  state, update = algorithm.update(state)
  return state, {**metrics, "update": update}


def env_step(algorithm: Algorithm, env: Env, state: TrainState) -> tuple[TrainState, Metrics]:
  """Steps each environment once, learns, and resets those that are done; idle: no change.

  Returns:
    The state, and metrics as ``make_step`` returns them with leaves ``[N, ...]``.
  """
  idle = _idle(algorithm, state)
  if idle is None:
    return _active_step(algorithm, env, state)
  shapes = jax.eval_shape(lambda: _active_step(algorithm, env, state))[1]
  no_step = lambda: (state, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))
  return jax.lax.cond(idle, no_step, lambda: _active_step(algorithm, env, state))


def _idle(algorithm: Algorithm, state: TrainState) -> Array | None:
  """Returns whether no step is to be taken, ``[]`` bool; ``None``: never idle."""
  if not algorithm.budget.episodes:
    return None if algorithm.idle is None else algorithm.idle(state)
  over = jnp.sum(state.rollout.episodes) >= algorithm.budget.episodes
  return over if algorithm.idle is None else algorithm.idle(state) | over


def _active_step(
  algorithm: Algorithm, env: Env, state: TrainState
) -> tuple[TrainState, Metrics]:
  """Steps each environment once; see ``env_step``."""
  envs = len(state.rollout.episodes)
  key, *keys = jax.random.split(state.key, 4)
  act_keys, env_keys, reset_keys = (split_per_env(k, envs) for k in keys)
  rollout, params = state.rollout, algorithm.params(state)
  act = over_envs(algorithm.act, envs, shared=1)
  action, carry, info = act(params, state.carry, rollout.env.obs, act_keys)
  action, masked = over_envs(lambda action: mask_nonfinite(env.spec, action), envs)(action)
  env_state, transition = over_envs(env.step, envs)(rollout.env, action, env_keys)
  transition = narrow(transition)
  state = state._replace(carry=carry, key=key, steps=state.steps + envs)
  state = algorithm.learn(algorithm.observe(state, transition), envs)

  done = transition.terminated | transition.truncated
  total = rollout.episode_return + transition.reward
  solved, success = count_solved(env.spec.success, rollout.solved, transition.next_obs, done)
  counts = {
    "masked_actions": masked,
    "nonfinite_transitions": jnp.int32(~jax.vmap(ring.is_finite)(transition)),
  }
  metrics = {
    "taken": jnp.ones(envs, bool),
    "transition": transition,
    "pose": narrow(over_envs(env.pose, envs)(env_state)),
    "done": done,
    "episode_return": total,
    "info": {**info, **counts},
    **success,
  }
  env_state = restart_rows(env, done, env_state, reset_keys)
  params, carry = algorithm.params(state), state.carry
  fresh = lambda: over_envs(algorithm.reset, envs, shared=1)(params, carry)
  carry = jax.lax.cond(done.any(), lambda: choose_rows(done, fresh(), carry), lambda: carry)
  rollout = Rollout(env_state, jnp.where(done, 0.0, total), rollout.episodes + done, solved)
  return state._replace(carry=carry, rollout=rollout), metrics


_Episode = tuple[EnvState, Any, Array]
"""Environment, carry of the algorithm, and ``alive [] bool``: the episode has not ended."""


def make_evaluation(
  algorithm: Algorithm,
  env: Env,
  *,
  episodes: int = 1,
  compiler_options: dict[str, Any] | None = None,
) -> Callable[[Any, Key], Metrics]:
  """Makes compiled evaluation episodes, without learning.

  Args:
    algorithm: the algorithm.
    env: its environment.
    episodes: independent episodes; returns and success count only steps up to an early end.
    compiler_options: for XLA, see ``runtime.devices``.

  Returns:
    A jitted ``(params, key) -> metrics``, with params from ``algorithm.params``:
    ``return [episodes]``, ``transition`` (leaves ``[episodes, T, ...]``),
    ``pose [episodes, T, Q]`` and, if the task defines it, ``success [episodes]`` bool.

  Example:
    >>> from mbrl_jax import make_algorithm, make_env
    >>> env = make_env("pendulum", episode_length=10)
    >>> algorithm = make_algorithm("sac", env.spec)
    >>> params = algorithm.params(init_state(algorithm, env, jax.random.key(0)))
    >>> evaluate = make_evaluation(algorithm, env, episodes=2)
    >>> evaluate(params, jax.random.key(1))["return"].shape
    (2,)
  """
  positive(episodes=episodes)

  def episode(params: Any, key: Key) -> Metrics:
    reset_key, key = jax.random.split(key)
    params, carry = algorithm.deploy(params)

    def body(loop: _Episode, key: Key) -> tuple[_Episode, tuple[Transition, Array, Array]]:
      env_state, carry, alive = loop
      act_key, env_key = jax.random.split(key)
      action, carry, _ = algorithm.act(params, carry, env_state.obs, act_key)
      env_state, transition = env.step(env_state, action, env_key)
      transition = narrow(transition)
      pose = narrow(env.pose(env_state))
      done = transition.terminated | transition.truncated
      return (env_state, carry, alive & ~done), (transition, pose, alive)

    start = (env.reset(reset_key), carry, jnp.ones((), bool))
    keys = jax.random.split(key, env.spec.episode_length)
    _, (transition, pose, alive) = jax.lax.scan(body, start, keys)
    total = jnp.sum(jnp.where(alive, transition.reward, 0.0))
    success = episode_success(env.spec.success, transition.next_obs, alive)
    return {"return": total, "transition": transition, "pose": pose, **success}

  def evaluate(params: Any, key: Key) -> Metrics:
    keys = jax.random.split(key, episodes)
    if algorithm.plans:
      return jax.lax.map(lambda key: episode(params, key), keys)
    return jax.vmap(episode, (None, 0))(params, keys)

  return jax.jit(evaluate, compiler_options=compiler_options)
