"""Checks resets, determinism, action bounds and speed of a task by running it."""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.physics.backends import make_physics
from mbrl_jax.ops.key_stream import is_key
from mbrl_jax.runtime.checks.finding import NOTE, OK, WRONG, Finding
from mbrl_jax.runtime.checks.recording import ACTION_SOURCES, Recording, same
from mbrl_jax.types import Array, Env, Key

_RESETS = 16  # compared initial states
_TIMED_STEPS = 100
_MJX_STEPS = 20  # simulation steps of the MJX check


def check_determinism(env: Env, recording: Recording) -> Finding:
  """Checks that equal keys and actions give equal results, also after tracing again."""

  def once() -> Any:
    def run(key: Key) -> Any:
      state = env.reset(key)
      return state, env.step(state, jnp.asarray(env.spec.action_high), key)

    return jax.jit(run)(jax.random.key(7))

  (start, first), (again, second) = once(), once()
  if not _equal(start, again):
    return Finding("determinism", WRONG, "reset gives another state for the same key")
  if not _equal(first, second):
    return Finding("determinism", WRONG, "step gives another result for the same state and key")
  if not recording.repeats:
    return Finding(
      "determinism", WRONG, "a compiled run with the same keys gives other results"
    )
  return Finding("determinism", OK, "equal keys and actions give equal results, bit for bit")


def check_resets(env: Env) -> Finding:
  """Checks whether different keys give different initial states."""
  states = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), _RESETS))
  leaves = [np.asarray(x).reshape(_RESETS, -1) for x in jax.tree.leaves(_with_key_data(states))]
  distinct = len(np.unique(np.concatenate(leaves, -1).astype(np.float64), axis=0))
  if distinct == 1:
    return Finding("resets", NOTE, f"the initial state is constant: one from {_RESETS} keys")
  return Finding("resets", OK, f"{distinct} states from {_RESETS} keys")


def check_bounds(env: Env) -> Finding:
  """Checks whether actions beyond the bounds have the effect of those at the bounds."""
  low, high = jnp.asarray(env.spec.action_low), jnp.asarray(env.spec.action_high)

  @jax.jit
  def run(action: Array) -> Array:
    state = env.reset(jax.random.key(0))
    return env.step(state, action, jax.random.key(1))[1].next_obs

  for name, edge, beyond in (("upper", high, high + 5), ("lower", low, low - 5)):
    if not np.allclose(run(edge), run(beyond), rtol=1e-5, atol=1e-5, equal_nan=True):
      text = f"actions beyond the {name} bounds have another effect than those at the bounds"
      return Finding("bounds", NOTE, f"{text}: clip them before the physics")
  return Finding(
    "bounds", OK, "actions beyond the bounds have the effect of those at the bounds"
  )


def check_speed(env: Env, recording: Recording) -> Finding:
  """Times steps, and checks that a single compiled program serves all of them."""
  step: Any = jax.jit(env.step)
  key = jax.random.key(0)
  state = jax.jit(env.reset)(key)
  actions = np.array([env.spec.action_low, env.spec.action_high], np.float32)
  for action in actions:
    state, _ = step(state, action, key)
  start = time.perf_counter()
  for _ in range(_TIMED_STEPS):
    state, _ = jax.block_until_ready(step(state, actions[0], key))
  single = (time.perf_counter() - start) / _TIMED_STEPS
  if step._cache_size() != 1:
    text = f"step was compiled {step._cache_size()} times for states and actions of one shape"
    return Finding("speed", WRONG, text)
  rate = recording.steps.size / recording.seconds
  text = f"{1e3 * single:.2f} ms per single step, {rate:,.0f} steps/s in {len(ACTION_SOURCES)}"
  return Finding("speed", OK, f"{text} parallel environments; compiled once")


def check_mjx(env: Env) -> Finding:
  """Checks that the task's model loads in MJX, and steps there."""
  model = getattr(env, "model", None)
  if model is None:
    return Finding("mjx", NOTE, "it has no MuJoCo model")
  start = time.perf_counter()
  try:
    physics = make_physics(model, _MJX_STEPS, "mjx")
  except ValueError as error:
    return Finding("mjx", WRONG, str(error))
  position, velocity = np.asarray(model.qpos0, np.float32), np.zeros(model.nv, np.float32)
  state = jax.jit(physics.step)(
    physics.init(position, velocity), np.zeros(model.nu, np.float32)
  )
  seconds = time.perf_counter() - start
  if not np.isfinite(state.qpos).all():
    return Finding(
      "mjx", WRONG, f"positions are not finite after {_MJX_STEPS} simulation steps"
    )
  return Finding("mjx", OK, f"loads and steps; compiled in {seconds:.1f} s")


def _with_key_data(tree: Any) -> Any:
  """Replaces typed keys with their raw words."""
  return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, tree)


def _equal(a: Any, b: Any) -> bool:
  return same(jax.device_get(_with_key_data(a)), jax.device_get(_with_key_data(b)))
