"""Checks a task's recorded transitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.task import never
from mbrl_jax.ops.missing import MissingReward, MissingTermination
from mbrl_jax.runtime.checks.finding import NOTE, OK, WRONG, Finding
from mbrl_jax.runtime.checks.recording import Recording
from mbrl_jax.types import Array, Env, Key

SHORT, LONG = 0.2, 20_000
"""Shortest (seconds) and longest (control steps) episode without a note."""
_HIDDEN = "does the simulator use unobserved state?"
_SINGLES = 4  # transitions that are evaluated one by one
_RTOL = 1e-4  # two programs may round float32 differently


def check_finite(env: Env, recording: Recording) -> Finding:
  """Checks observations and rewards for NaN and infinity."""
  del env
  transition = recording.transition
  for name in ("next_obs", "reward", "obs"):
    values = getattr(transition, name)
    bad = ~np.isfinite(values)
    if not bad.any():
      continue
    flags = bad.any(-1) if bad.ndim == 3 else bad
    which = f"[{int(np.argmax(bad[flags][0]))}]" if bad.ndim == 3 else ""
    count = f"{int(flags.sum()):,} of {flags.size:,} steps"
    text = f"{name}{which} is first not finite {recording.where(flags)} ({count})"
    return Finding("finite", WRONG, text)
  return Finding("finite", OK, f"{recording.steps.size:,} steps, also at the action bounds")


def check_observed(env: Env, recording: Recording) -> Finding:
  """Checks that the observations of transition, state and ``observe`` agree."""
  del env
  transition, goes_on = recording.transition, ~recording.over[:, :-1]
  pairs = {
    "transition.next_obs is not the obs of the state": (
      transition.next_obs,
      recording.state_obs,
    ),
    "the obs of the state is not observe(physics)": (recording.state_obs, recording.observed),
    "transition.obs is not the previous observation": (
      transition.obs[:, 1:][goes_on],
      recording.state_obs[:, :-1][goes_on],
    ),
  }
  for text, (a, b) in pairs.items():
    if not _close(a, b).all():
      return Finding("observed", WRONG, f"{text}; they differ by up to {_gap(a, b):.3g}")
  return Finding("observed", OK, "state, transition and observe agree")


def check_pure(env: Env, recording: Recording) -> Finding:
  """Checks that the simulator's reward and termination equal the pure functions'."""
  transition = recording.transition
  if isinstance(env.spec.reward, MissingReward):
    return Finding("pure", NOTE, "the reward is not known as a function")
  inputs = transition.obs, transition.action, transition.next_obs
  pure = lambda *x: (env.spec.reward(*x), env.spec.terminated(*x))
  reward, terminated = jax.device_get(jax.jit(jax.vmap(jax.vmap(pure)))(*inputs))
  wrong = ~_close(reward, transition.reward)
  if wrong.any():
    gap = _gap(reward, transition.reward)
    text = f"reward differs from spec.reward(obs, action, next_obs) by up to {gap:.3g}"
    return Finding("pure", WRONG, f"{text} {recording.where(wrong)}: {_HIDDEN}")
  wrong = terminated != transition.terminated
  if wrong.any() and isinstance(env.spec.terminated, MissingTermination):
    return Finding("pure", NOTE, "the termination is not known as a function")
  if wrong.any():
    text = "terminated is not spec.terminated(obs, action, next_obs)"
    return Finding("pure", WRONG, f"{text} {recording.where(wrong)}: {_HIDDEN}")
  text = f"reward ({reward.min():.3g} to {reward.max():.3g}) and termination of the simulator"
  return Finding("pure", OK, f"{text} equal the pure functions")


def check_transforms(env: Env, recording: Recording) -> Finding:
  """Checks that the pure functions give equal results directly, under jit and under vmap."""
  spec, inputs = env.spec, _singles(recording)
  functions = {
    "reward": spec.reward,
    "terminated": spec.terminated,
    "encode": lambda obs, action, next_obs: spec.encode(next_obs),
  }
  for name, function in functions.items():
    if isinstance(function, MissingReward):
      continue
    direct = _stack(function, inputs)
    for how, values in (
      ("jit", _stack(jax.jit(function), inputs)),
      ("vmap", np.asarray(jax.vmap(function)(*inputs))),
    ):
      if direct.shape != values.shape or not _close(direct, values).all():
        text = f"{name} gives other results under {how} than without"
        return Finding(
          "transforms", WRONG, f"{text}: does it draw random numbers or keep a state?"
        )
  return Finding("transforms", OK, "the pure functions give equal results under jit and vmap")


def check_decode(env: Env, recording: Recording) -> Finding:
  """Checks that ``decode(obs, target(obs, next_obs))`` equals ``next_obs``."""
  spec, transition = env.spec, recording.transition
  both = lambda obs, next_obs: spec.decode(obs, spec.target(obs, next_obs))
  decoded = np.asarray(jax.jit(jax.vmap(jax.vmap(both)))(transition.obs, transition.next_obs))
  close = _close(decoded, transition.next_obs)
  if not close.all():
    worst = int(np.argmax((~close).sum((0, 1))))
    gap = _gap(decoded[..., worst], transition.next_obs[..., worst])
    text = f"decode(obs, target(obs, next_obs))[{worst}] differs from next_obs[{worst}]"
    return Finding("decode", WRONG, f"{text} by up to {gap:.3g}")
  return Finding("decode", OK, "decode inverts target")


def check_encode(env: Env, recording: Recording) -> Finding:
  """Checks that the model's features and targets are finite for finite observations."""
  spec, transition = env.spec, recording.transition
  both = lambda obs, next_obs: (spec.encode(obs), spec.target(obs, next_obs))
  found = jax.jit(jax.vmap(jax.vmap(both)))(transition.obs, transition.next_obs)
  known = np.isfinite(transition.obs).all(-1) & np.isfinite(transition.next_obs).all(-1)
  for name, values in zip(("encode", "target"), jax.device_get(found), strict=True):
    bad = ~np.isfinite(values).all(-1) & known
    if bad.any():
      return Finding("encode", WRONG, f"{name} is not finite {recording.where(bad)}")
  return Finding("encode", OK, f"[{found[0].shape[-1]}] features and the targets are finite")


def check_gradient(env: Env, recording: Recording) -> Finding:
  """Checks that the derivatives of the reward are finite."""
  transition = recording.transition
  if isinstance(env.spec.reward, MissingReward):
    return Finding("gradient", NOTE, "the reward is not known as a function")
  inputs = transition.obs, transition.action, transition.next_obs
  gradient = jax.grad(env.spec.reward, argnums=(0, 1, 2))
  gradients = jax.device_get(jax.jit(jax.vmap(jax.vmap(gradient)))(*inputs))
  bad = np.any([(~np.isfinite(x)).any(-1) for x in gradients], axis=0)
  if bad.any():
    text = "the reward's derivative is not finite, like that of a norm at 0,"
    return Finding("gradient", NOTE, f"{text} {recording.where(bad)}")
  return Finding("gradient", OK, "the reward's derivatives are finite")


def check_termination(env: Env, recording: Recording) -> Finding:
  """Reports whether episodes terminate, after how many steps and under which actions."""
  terminated = recording.transition.terminated
  ended = int(recording.over.sum())
  if not terminated.any():
    if env.spec.terminated is never:
      return Finding("termination", OK, "never, as specified")
    text = f"not seen in {terminated.size:,} steps of random, held and extreme actions"
    return Finding("termination", NOTE, text)
  if terminated.all():
    text = f"all {ended:,} episodes ended in their first step"
    return Finding("termination", WRONG, text)
  first = recording.where(terminated)
  text = f"{int(terminated.sum()):,} of {ended:,} episodes, the earliest {first}"
  return Finding("termination", OK, text)


def check_length(env: Env, recording: Recording) -> Finding:
  """Checks that episodes are truncated at ``episode_length``, and that it is plausible."""
  spec, transition = env.spec, recording.transition
  both = transition.truncated & transition.terminated
  if both.any():
    return Finding("length", WRONG, f"terminated and truncated both {recording.where(both)}")
  early = transition.truncated & (recording.steps < spec.episode_length)
  if early.any():
    text = f"truncated {recording.where(early)}, before its {spec.episode_length} steps"
    return Finding("length", WRONG, text)
  if not _ends_at_limit(env):
    text = f"not truncated after its {spec.episode_length} steps"
    return Finding("length", WRONG, text)
  seconds = spec.episode_length * spec.dt
  text = f"{spec.episode_length} steps of {spec.dt:g} s, {seconds:g} s"
  unusual = seconds < SHORT or spec.episode_length > LONG
  return Finding("length", NOTE if unusual else OK, text + (": is this intended?" * unusual))


def _ends_at_limit(env: Env) -> bool:
  """Returns whether the step at the time limit ends the episode."""

  @jax.jit
  def last(key: Key) -> Array:
    state = env.reset(key)
    state = state._replace(steps=jnp.full_like(state.steps, env.spec.episode_length - 1))
    action = jnp.clip(jnp.zeros(env.spec.action_dim), env.spec.action_low, env.spec.action_high)
    transition = env.step(state, action, key)[1]
    return transition.truncated | transition.terminated

  return bool(last(jax.random.key(0)))


def _singles(recording: Recording) -> tuple[np.ndarray, ...]:
  """Returns a few transitions, evenly spaced over the recording."""
  transition = recording.transition
  rows = np.linspace(0, recording.steps.size - 1, _SINGLES).astype(int)
  parts = transition.obs, transition.action, transition.next_obs
  return tuple(np.asarray(x).reshape(-1, x.shape[-1])[rows] for x in parts)


def _stack(function: Callable, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
  """Calls a function on each transition in turn and stacks the results."""
  rows = zip(*inputs, strict=True)
  return np.stack([np.asarray(function(*map(jnp.asarray, row))) for row in rows])


def _close(a: Any, b: Any) -> np.ndarray:
  """Returns where numbers are equal up to rounding; NaN equals NaN."""
  a, b = np.float64(a), np.float64(b)
  return np.isclose(a, b, rtol=_RTOL, atol=_RTOL, equal_nan=True)


def _gap(a: Any, b: Any) -> float:
  """Returns the largest finite absolute difference."""
  with np.errstate(invalid="ignore"):
    gap = np.abs(np.float64(a) - np.float64(b))
  return float(np.max(gap[np.isfinite(gap)], initial=0.0))
