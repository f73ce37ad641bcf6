"""Checks how a task behaves when it is reset and stepped anew."""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.physics.backends import make_physics
from mbrl_jax.runtime.checks.finding import NOTE, OK, WRONG, Finding
from mbrl_jax.runtime.checks.recording import ACTORS, Recording, same
from mbrl_jax.types import Env

_STARTS = 16  # resets that are compared
_TIMED = 100  # single steps that are timed
_MJX_STEPS = 20  # simulation steps of the check on MJX


def check_determinism(env: Env, recording: Recording) -> Finding:
  """Checks that equal keys and actions give equal results, also when traced again."""

  def once() -> Any:
    def run(key):
      state = env.reset(key)
      return state, env.step(state, jnp.asarray(env.spec.action_high), key)

    return jax.jit(run)(jax.random.key(7))

  (start, first), (again, second) = once(), once()
  if not _alike(start, again):
    return Finding("determinism", WRONG, "reset gives another state for the same key")
  if not _alike(first, second):
    return Finding("determinism", WRONG, "step gives another result for the same state and key")
  if not recording.repeats:
    return Finding("determinism", WRONG, "the same compiled episodes came out otherwise again")
  return Finding("determinism", OK, "the same keys and actions give the same, bit for bit")


def check_resets(env: Env) -> Finding:
  """Looks whether different keys give different initial states."""
  states = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), _STARTS))
  leaves = [np.asarray(x).reshape(_STARTS, -1) for x in jax.tree.leaves(_numbers(states))]
  distinct = len(np.unique(np.concatenate(leaves, -1).astype(np.float64), axis=0))
  if distinct == 1:
    return Finding("resets", NOTE, f"it starts always alike: one state from {_STARTS} keys")
  return Finding("resets", OK, f"{distinct} states from {_STARTS} keys")


def check_bounds(env: Env) -> Finding:
  """Looks whether actions beyond the bounds act as those at the bounds."""
  low, high = jnp.asarray(env.spec.action_low), jnp.asarray(env.spec.action_high)

  @jax.jit
  def run(action):
    state = env.reset(jax.random.key(0))
    return env.step(state, action, jax.random.key(1))[1].next_obs

  for name, edge, beyond in (("upper", high, high + 5), ("lower", low, low - 5)):
    if not np.allclose(run(edge), run(beyond), rtol=1e-5, atol=1e-5, equal_nan=True):
      text = f"actions beyond the {name} bounds act otherwise than those at them"
      return Finding("bounds", NOTE, f"{text}: clip them on their way to the physics")
  return Finding("bounds", OK, "actions beyond the bounds act as those at them")


def check_speed(env: Env, recording: Recording) -> Finding:
  """Times steps, and checks that all of them use one compiled program."""
  step, key = jax.jit(env.step), jax.random.key(0)
  state = jax.jit(env.reset)(key)
  actions = np.float32([env.spec.action_low, env.spec.action_high])
  for action in actions:
    state, _ = step(state, action, key)
  begun = time.perf_counter()
  for _ in range(_TIMED):
    state, _ = jax.block_until_ready(step(state, actions[0], key))
  alone = (time.perf_counter() - begun) / _TIMED
  if step._cache_size() != 1:
    text = f"step was compiled {step._cache_size()} times for states and actions of one shape"
    return Finding("speed", WRONG, text)
  rate = recording.steps.size / recording.seconds
  text = f"{1e3 * alone:.2f} ms a step alone, {rate:,.0f} steps/s {len(ACTORS)} at a time"
  return Finding("speed", OK, f"{text}; compiled once")


def check_mjx(env: Env) -> Finding:
  """Checks that the task's model loads in MJX, and steps there."""
  model = getattr(env, "model", None)
  if model is None:
    return Finding("mjx", NOTE, "it has no MuJoCo model")
  begun = time.perf_counter()
  try:
    physics = make_physics(model, _MJX_STEPS, "mjx")
  except ValueError as error:
    return Finding("mjx", WRONG, str(error))
  position, velocity = np.float32(model.qpos0), np.zeros(model.nv, np.float32)
  state = jax.jit(physics.step)(
    physics.init(position, velocity), np.zeros(model.nu, np.float32)
  )
  seconds = time.perf_counter() - begun
  if not np.isfinite(state.qpos).all():
    return Finding(
      "mjx", WRONG, f"positions are not finite after {_MJX_STEPS} simulation steps"
    )
  return Finding("mjx", OK, f"loads and steps; compiled in {seconds:.1f} s")


def _numbers(tree: Any) -> Any:
  """Replaces typed keys by their numbers."""
  is_key = lambda x: jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
  return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, tree)


def _alike(a: Any, b: Any) -> bool:
  return same(jax.device_get(_numbers(a)), jax.device_get(_numbers(b)))
