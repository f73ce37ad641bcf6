"""From an algorithm and an environment to compiled training and evaluation.

``make_step`` takes a fixed number of environment steps and lets the algorithm
learn, all in one compiled call; ``make_evaluation`` runs whole episodes without
learning. Both work with any ``Algorithm`` and any ``Env``.

In training an action that is not finite never reaches the environment or the buffer: the
middle of the bounds is taken in its place, and counted. In an evaluation it shows as NaN.
A transition that is not finite is counted, too; buffers do not store it (``buffers.ring``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.buffers import ring
from mbrl_jax.envs.restart import restart
from mbrl_jax.ops.single import narrow
from mbrl_jax.ops.validate import positive
from mbrl_jax.types import (
  Algorithm,
  Array,
  Env,
  EnvSpec,
  EnvState,
  Key,
  Metrics,
  TrainState,
  Transition,
)


class Rollout(NamedTuple):
  """Where data collection stands.

  Attributes:
    env: state of the environment.
    episode_return: sum of rewards of the running episode, ``[]``.
    episodes: finished episodes, ``[]`` int32.
  """

  env: EnvState
  episode_return: Array
  episodes: Array


def init_state(algorithm: Algorithm, env: Env, key: Key) -> TrainState:
  """Makes the state of a run that has not begun; ``vmap`` over keys for seeds."""
  algorithm_key, env_key = jax.random.split(key)
  rollout = Rollout(env.reset(env_key), jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32))
  return algorithm.init(algorithm_key)._replace(rollout=rollout)


def make_step(
  algorithm: Algorithm,
  env: Env,
  *,
  steps: int = 1,
  seeds: int | None = None,
  compiler_options: dict[str, Any] | None = None,
) -> Callable[[TrainState], tuple[TrainState, Metrics]]:
  """Makes the compiled training step.

  One call takes ``steps`` environment steps, resetting the environment at the
  end of each episode, and then calls ``algorithm.update`` once. While ``algorithm.idle``
  nothing moves: the rest of the call takes no steps.

  Args:
    algorithm: what acts and learns.
    env: where it acts.
    steps: ``K``, environment steps per call at most; a divisor of the episode length lets
      an algorithm that learns after each episode go on without a pause.
    seeds: independent runs at once; every leaf then has a leading ``[seeds]``.
    compiler_options: for XLA, see ``runtime.devices``.

  Returns:
    A jitted ``(TrainState) -> (TrainState, metrics)`` with metrics
    ``taken [K]`` (false where the environment stood still; the rest of such a row is zero),
    ``transition`` (leaves ``[K, ...]``), ``pose [K, Q]``, ``done [K]``,
    ``episode_return [K]`` (of the episode so far), ``info`` (leaves ``[K, ...]``,
    from ``algorithm.act``, and ``masked_actions [K]``, 1 where the middle of the bounds
    was taken in place of a non-finite action, and ``nonfinite_transitions [K]``, 1 where a
    transition was not finite) and ``update`` (from ``algorithm.update``).
  """
  positive(steps=steps)

  def step(state: TrainState) -> tuple[TrainState, Metrics]:
    body = lambda state, _: env_step(algorithm, env, state)
    state, metrics = jax.lax.scan(body, state, length=steps)
    state, update = algorithm.update(state)
    return state, {**metrics, "update": update}

  batched = step if seeds is None else jax.vmap(step, axis_size=seeds)
  return jax.jit(batched, compiler_options=compiler_options)


def env_step(algorithm: Algorithm, env: Env, state: TrainState) -> tuple[TrainState, Metrics]:
  """Acts once, stores the transition and resets where the episode is over; or stands still."""
  if algorithm.idle is None:
    return _move(algorithm, env, state)
  shapes = jax.eval_shape(lambda: _move(algorithm, env, state))[1]
  still = lambda: (state, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))
  return jax.lax.cond(algorithm.idle(state), still, lambda: _move(algorithm, env, state))


def _move(algorithm: Algorithm, env: Env, state: TrainState) -> tuple[TrainState, Metrics]:
  """Takes the step of ``env_step``."""
  key, act_key, env_key, reset_key = jax.random.split(state.key, 4)
  rollout = state.rollout
  action, act, info = algorithm.act(state.act, rollout.env.obs, act_key)
  action, masked = _mask(env.spec, action)
  env_state, transition = env.step(rollout.env, action, env_key)
  transition = narrow(transition)
  state = state._replace(act=act, key=key, steps=state.steps + 1)
  state = algorithm.observe(state, transition)

  done = transition.terminated | transition.truncated
  total = rollout.episode_return + transition.reward
  counts = {
    "masked_actions": masked,
    "nonfinite_transitions": jnp.int32(~ring.storable(transition)),
  }
  metrics = {
    "taken": jnp.ones((), bool),
    "transition": transition,
    "pose": narrow(env.pose(env_state)),
    "done": done,
    "episode_return": total,
    "info": {**info, **counts},
  }
  env_state = restart(env, done, env_state, reset_key)
  act = jax.lax.cond(done, lambda: algorithm.reset(state.act), lambda: state.act)
  rollout = Rollout(env_state, jnp.where(done, 0.0, total), rollout.episodes + done)
  return state._replace(act=act, rollout=rollout), metrics


def _mask(spec: EnvSpec, action: Array) -> tuple[Array, Array]:
  """Returns a safe action in place of a non-finite one, and 1 if it was."""
  middle = 0.5 * (np.float32(spec.action_low) + np.float32(spec.action_high))
  middle = np.nan_to_num(middle, posinf=0.0, neginf=0.0)  # of bounds that are infinite
  if jnp.shape(action) != middle.shape:
    raise ValueError(
      f"algorithm.act must return an action of shape {list(middle.shape)} for {spec.name!r}, "
      f"got {list(jnp.shape(action))}."
    )
  finite = jnp.isfinite(action).all()
  return jnp.where(finite, action, middle.astype(action.dtype)), jnp.int32(~finite)


def make_evaluation(
  algorithm: Algorithm,
  env: Env,
  *,
  episodes: int = 1,
  compiler_options: dict[str, Any] | None = None,
) -> Callable[[Any, Key], Metrics]:
  """Makes compiled evaluation episodes that leave the training state alone.

  Args:
    algorithm: what acts.
    env: where it acts.
    episodes: independent episodes; those over early are masked to their end.
    compiler_options: for XLA, see ``runtime.devices``.

  Returns:
    A jitted ``(act, key) -> metrics`` with ``return [episodes]``,
    ``transition`` (leaves ``[episodes, T, ...]``) and ``pose [episodes, T, Q]``.
  """
  positive(episodes=episodes)

  def body(carry: tuple, key: Key) -> tuple[tuple, tuple[Transition, Array, Array]]:
    env_state, act, alive = carry
    act_key, env_key = jax.random.split(key)
    action, act, _ = algorithm.act(act, env_state.obs, act_key)
    env_state, transition = env.step(env_state, action, env_key)
    transition = narrow(transition)
    pose = narrow(env.pose(env_state))
    done = transition.terminated | transition.truncated
    return (env_state, act, alive & ~done), (transition, pose, alive)

  def episode(act: Any, key: Key) -> Metrics:
    reset_key, key = jax.random.split(key)
    act = algorithm.reset(algorithm.deploy(act))
    start = (env.reset(reset_key), act, jnp.ones((), bool))
    keys = jax.random.split(key, env.spec.episode_length)
    _, (transition, pose, alive) = jax.lax.scan(body, start, keys)
    total = jnp.sum(jnp.where(alive, transition.reward, 0.0))
    return {"return": total, "transition": transition, "pose": pose}

  def evaluate(act: Any, key: Key) -> Metrics:
    keys = jax.random.split(key, episodes)
    if algorithm.plans:
      return jax.lax.map(lambda key: episode(act, key), keys)
    return jax.vmap(episode, (None, 0))(act, keys)

  return jax.jit(evaluate, compiler_options=compiler_options)
