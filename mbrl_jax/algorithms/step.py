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
from mbrl_jax.envs.restart import choose_rows, restart_rows
from mbrl_jax.ops.float32 import narrow
from mbrl_jax.ops.validate import ArgumentError, positive
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
    env: states of the environments, leaves ``[N, ...]``.
    episode_return: sums of rewards of the running episodes, ``[N]``.
    episodes: finished episodes of each environment, ``[N]`` int32.
  """

  env: EnvState
  episode_return: Array
  episodes: Array


def init_state(algorithm: Algorithm, env: Env, key: Key, envs: int = 1) -> TrainState:
  """Makes the state of a run that has not begun; ``vmap`` over keys for seeds.

  Raises:
    ValueError: see ``check_envs``.
  """
  check_envs(algorithm, env, envs)
  algorithm_key, env_key = jax.random.split(key)
  start = over_envs(env.reset, envs)(_keys(env_key, envs))
  rollout = Rollout(start, jnp.zeros(envs, jnp.float32), jnp.zeros(envs, jnp.int32))
  return algorithm.init(algorithm_key, envs)._replace(rollout=rollout)


def check_envs(algorithm: Algorithm, env: Env, envs: int) -> None:
  """Checks that a learner can act in so many environments at once.

  Raises:
    ValueError: the number is not positive, more than the adapter of ``env`` can make, or does
      not divide what the config counts; says what would do.
  """
  positive(envs=envs)
  most = getattr(env, "max_envs", None)
  if most is not None and envs > most:
    raise ArgumentError("envs", envs, f"is more than {env.spec.name!r} can make: {most}.")
  odd = {name: n for name, n in algorithm.budget.counts.items() if n % envs}
  if odd:
    multiples = {name: -(-n // envs) * envs for name, n in odd.items()}
    each = ", ".join(["{}"] * len(odd))
    text = f"does not divide {each}, counted over all environments: choose multiples, such as "
    raise ArgumentError("envs", envs, f"{text}{each}.", *odd.items(), *multiples.items())


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

  One call takes ``steps`` environment steps, ``steps / envs`` in each environment, resetting it
  at the end of each episode; after each step of all environments it calls ``algorithm.learn``,
  and at the end ``algorithm.update`` once. While ``algorithm.idle``, or when the run has had
  its episodes, nothing moves: the rest of the call takes no steps.

  Args:
    algorithm: what acts and learns.
    env: where it acts.
    steps: ``K``, environment steps per call at most, of all environments together; a divisor of
      the episode length lets an algorithm that learns after each episode go on without a pause.
      By default one of each environment.
    envs: ``N``, environments that one learner acts in; those of the state.
    seeds: independent runs at once; every leaf then has a leading ``[seeds]``.
    compiler_options: for XLA, see ``runtime.devices``.

  Returns:
    A jitted ``(TrainState) -> (TrainState, metrics)``. Of the metrics, row ``t N + i`` of ``K``
    is step ``t`` of environment ``i``:
    ``taken [K]`` (false where the environments stood still; the rest of such a row is zero),
    ``transition`` (leaves ``[K, ...]``), ``pose [K, Q]``, ``done [K]``,
    ``episode_return [K]`` (of the episode so far), ``info`` (leaves ``[K, ...]``,
    from ``algorithm.act``, and ``masked_actions [K]``, 1 where the middle of the bounds
    was taken in place of a non-finite action, and ``nonfinite_transitions [K]``, 1 where a
    transition was not finite) and ``update`` (from ``algorithm.update``).

  Raises:
    ValueError: see ``check_envs``; steps that are not positive, or that the environments do not
      divide.
  """
  check_envs(algorithm, env, envs)
  steps = envs if steps is None else steps
  positive(steps=steps)
  if steps % envs:
    raise ArgumentError("steps", steps, "must be a multiple of {}.", ("envs", envs))

  def step(state: TrainState) -> tuple[TrainState, Metrics]:
    def body(state: TrainState, _: None) -> tuple[TrainState, Metrics]:
      state, metrics = env_step(algorithm, env, state)
      return state, jax.tree.map(lambda x: x[0], metrics) if envs == 1 else metrics

    state, metrics = jax.lax.scan(body, state, length=steps // envs)
    if envs > 1:
      metrics = jax.tree.map(lambda x: x.reshape(steps, *x.shape[2:]), metrics)
    state, update = algorithm.update(state)
    return state, {**metrics, "update": update}

  batched = step if seeds is None else jax.vmap(step, axis_size=seeds)
  return jax.jit(batched, compiler_options=compiler_options)


def env_step(algorithm: Algorithm, env: Env, state: TrainState) -> tuple[TrainState, Metrics]:
  """Acts once in each environment, learns and resets those that are done; or stands still.

  Returns:
    The state, and metrics as ``make_step`` returns them with leaves ``[N, ...]``.
  """
  still = _still(algorithm, state)
  if still is None:
    return _move(algorithm, env, state)
  shapes = jax.eval_shape(lambda: _move(algorithm, env, state))[1]
  stay = lambda: (state, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))
  return jax.lax.cond(still, stay, lambda: _move(algorithm, env, state))


def over_envs(function: Callable, envs: int, *, shared: int = 0) -> Callable:
  """Returns ``function`` of ``envs`` rows; its first ``shared`` arguments have no rows.

  A single row is not batched, so that a condition in the function stays one.
  """
  if envs > 1:
    return lambda *args: jax.vmap(function, (None,) * shared + (0,) * (len(args) - shared))(
      *args
    )

  def one(*args: Any) -> Any:
    row = jax.tree.map(lambda x: x[0], args[shared:])
    return jax.tree.map(lambda x: jnp.asarray(x)[None], function(*args[:shared], *row))

  return one


def _keys(key: Key, envs: int) -> Key:
  """Returns one key for each environment; a single one gets the key itself."""
  return key[None] if envs == 1 else jax.random.split(key, envs)


def _still(algorithm: Algorithm, state: TrainState) -> Array | None:
  """Tells whether nothing is to move, ``[]`` bool; ``None``: it always is."""
  if not algorithm.budget.episodes:
    return None if algorithm.idle is None else algorithm.idle(state)
  over = jnp.sum(state.rollout.episodes) >= algorithm.budget.episodes
  return over if algorithm.idle is None else algorithm.idle(state) | over


def _move(algorithm: Algorithm, env: Env, state: TrainState) -> tuple[TrainState, Metrics]:
  """Takes the step of ``env_step``."""
  envs = len(state.rollout.episodes)
  key, *keys = jax.random.split(state.key, 4)
  act_keys, env_keys, reset_keys = (_keys(k, envs) for k in keys)
  rollout, params = state.rollout, algorithm.params(state)
  act = over_envs(algorithm.act, envs, shared=1)
  action, carry, info = act(params, state.carry, rollout.env.obs, act_keys)
  action, masked = over_envs(lambda action: _mask(env.spec, action), envs)(action)
  env_state, transition = over_envs(env.step, envs)(rollout.env, action, env_keys)
  transition = narrow(transition)
  state = state._replace(carry=carry, key=key, steps=state.steps + envs)
  state = algorithm.learn(algorithm.observe(state, transition), envs)

  done = transition.terminated | transition.truncated
  total = rollout.episode_return + transition.reward
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
  }
  env_state = restart_rows(env, done, env_state, reset_keys)
  params, carry = algorithm.params(state), state.carry
  fresh = lambda: over_envs(algorithm.reset, envs, shared=1)(params, carry)
  carry = jax.lax.cond(done.any(), lambda: choose_rows(done, fresh(), carry), lambda: carry)
  rollout = Rollout(env_state, jnp.where(done, 0.0, total), rollout.episodes + done)
  return state._replace(carry=carry, rollout=rollout), metrics


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
    A jitted ``(params, key) -> metrics``, with params from ``algorithm.params``:
    ``return [episodes]``, ``transition`` (leaves ``[episodes, T, ...]``) and
    ``pose [episodes, T, Q]``.
  """
  positive(episodes=episodes)

  def episode(params: Any, key: Key) -> Metrics:
    reset_key, key = jax.random.split(key)
    params, carry = algorithm.deploy(params)

    def body(loop: tuple, key: Key) -> tuple[tuple, tuple[Transition, Array, Array]]:
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
    return {"return": total, "transition": transition, "pose": pose}

  def evaluate(params: Any, key: Key) -> Metrics:
    keys = jax.random.split(key, episodes)
    if algorithm.plans:
      return jax.lax.map(lambda key: episode(params, key), keys)
    return jax.vmap(episode, (None, 0))(params, keys)

  return jax.jit(evaluate, compiler_options=compiler_options)
