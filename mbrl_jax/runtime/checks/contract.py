"""Checks shapes and types of a task by tracing it; nothing is run."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.missing import MissingReward
from mbrl_jax.runtime.checks.finding import NOTE, OK, WRONG, Finding
from mbrl_jax.types import Env

_FLOAT, _BOOL, _INT = jnp.dtype("float32"), jnp.dtype("bool"), jnp.dtype("int32")


def check_spec(env: Env) -> Finding:
  """Checks the numbers of ``env.spec``."""
  spec, problems = env.spec, []
  low, high = np.asarray(spec.action_low), np.asarray(spec.action_high)
  if low.ndim != 1 or low.shape != high.shape or not low.size:
    problems.append(f"action_low {low.shape} and action_high {high.shape} must both be [A]")
  elif (low.dtype, high.dtype) != (np.float32, np.float32):
    problems.append(f"action bounds must be float32, not {low.dtype} and {high.dtype}")
  elif not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
    problems.append(f"action bounds must be finite and low < high: {low} to {high}")
  if not (isinstance(spec.obs_dim, int) and spec.obs_dim > 0):
    problems.append(f"obs_dim={spec.obs_dim!r} must be a positive int")
  if not (isinstance(spec.episode_length, int) and spec.episode_length > 0):
    problems.append(f"episode_length={spec.episode_length!r} must be a positive int")
  if not (np.isfinite(spec.dt) and spec.dt > 0):
    problems.append(f"dt={spec.dt!r} must be a positive number of seconds")
  return _finding("spec", problems, f"obs [{spec.obs_dim}], action [{low.size}], {spec.dt:g} s")


def check_shapes(env: Env) -> Finding:
  """Checks the shapes and types that ``reset``, ``step``, ``observe`` and ``pose`` return."""
  spec, start, (state, transition) = env.spec, _start(env), _step(env)
  obs, action = (spec.obs_dim,), (spec.action_dim,)
  problems = [
    *_differs("reset(...).obs", start.obs, obs, _FLOAT),
    *_differs("reset(...).steps", start.steps, (), _INT),
    *_differs("step(...).obs", state.obs, obs, _FLOAT),
    *_differs("observe(...)", jax.eval_shape(env.observe, state.physics), obs, _FLOAT),
    *_differs("transition.obs", transition.obs, obs, _FLOAT),
    *_differs("transition.action", transition.action, action, _FLOAT),
    *_differs("transition.reward", transition.reward, (), _FLOAT),
    *_differs("transition.next_obs", transition.next_obs, obs, _FLOAT),
    *_differs("transition.terminated", transition.terminated, (), _BOOL),
    *_differs("transition.truncated", transition.truncated, (), _BOOL),
  ]
  pose = jax.eval_shape(env.pose, state)
  if pose.ndim != 1:
    problems.append(f"pose(...) must be [Q], not {pose.shape}")
  return _finding("shapes", problems, "reset, step, observe and pose return the right shapes")


def check_functions(env: Env) -> Finding:
  """Checks the shapes of the pure functions of ``env.spec``."""
  spec = env.spec
  obs, action = _abstract(spec.obs_dim), _abstract(spec.action_dim)
  features = jax.eval_shape(spec.encode, obs)
  target = jax.eval_shape(spec.target, obs, obs)
  problems = [
    *_differs("terminated", jax.eval_shape(spec.terminated, obs, action, obs), (), _BOOL),
    *_differs("encode", features, (features.size,), _FLOAT),
    *_differs("target", target, (target.size,), _FLOAT),
    *_differs("decode", jax.eval_shape(spec.decode, obs, target), obs.shape, _FLOAT),
  ]
  if not isinstance(spec.reward, MissingReward):
    problems += _differs("reward", jax.eval_shape(spec.reward, obs, action, obs), (), _FLOAT)
  elif not problems:
    return Finding("functions", NOTE, spec.reward.message)
  text = f"reward, terminated, encode to [{features.size}], target [{target.size}], decode"
  return _finding("functions", problems, text)


def check_scan(env: Env) -> Finding:
  """Checks that a step keeps the state's structure and types, as ``jax.lax.scan`` requires."""
  before, (after, _) = _start(env), _step(env)
  structures: list[Any] = [jax.tree.structure(before), jax.tree.structure(after)]
  if structures[0] != structures[1]:
    return Finding("scan", WRONG, "a step changes the structure of the state")
  problems = []
  for (path, old), new in zip(
    jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True
  ):
    name = "state" + jax.tree_util.keystr(path)
    if (old.shape, old.dtype) != (new.shape, new.dtype):
      problems.append(f"a step turns {name} from {_describe(old)} into {_describe(new)}")
    elif old.weak_type != new.weak_type:
      problems.append(f"{name} has a weak type in {'reset' if old.weak_type else 'step'}")
  return _finding("scan", problems, "a step keeps the state's types")


def _start(env: Env) -> Any:
  return jax.eval_shape(env.reset, jax.random.key(0))


def _step(env: Env) -> Any:
  key = jax.random.key(0)
  action = _abstract(env.spec.action_dim)
  return jax.eval_shape(lambda s, a: env.step(s, a, key), _start(env), action)


def _abstract(size: int) -> jax.ShapeDtypeStruct:
  """Returns the shape of a float vector."""
  return jax.ShapeDtypeStruct((size,), _FLOAT)


def _differs(name: str, value: Any, shape: tuple[int, ...], dtype: Any) -> list[str]:
  """Returns a message if a value has another shape or dtype, else none."""
  if not hasattr(value, "dtype"):
    return [f"{name} is a {type(value).__name__} and must be {dtype} {list(shape)}"]
  if (value.shape, value.dtype) == (shape, dtype):
    return []
  return [f"{name} is {_describe(value)} and must be {dtype} {list(shape)}"]


def _describe(value: Any) -> str:
  return f"{value.dtype} {list(value.shape)}"


def _finding(name: str, problems: list[str], text: str) -> Finding:
  return Finding(name, WRONG, "; ".join(problems)) if problems else Finding(name, OK, text)
