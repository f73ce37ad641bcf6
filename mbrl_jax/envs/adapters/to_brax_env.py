"""Adapts ``types.Env`` to Brax' interface, so that Brax' PPO and SAC can train on it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.extra import import_extra
from mbrl_jax.types import Array, Env


def to_brax(env: Env) -> Any:
  """Makes a ``brax.envs.base.Env`` of an environment.

  ``State.pipeline_state`` is the ``EnvState``; ``done`` is ``terminated`` only. Brax'
  ``EpisodeWrapper`` applies the time limit: pass ``episode_length=env.spec.episode_length`` to
  its training programs. ``info["truncation"]``, which that wrapper overwrites, is ``truncated``
  without it.

  Actions are in [-1, 1], as Brax' policies return them, and scaled to the environment's bounds.

  Args:
    env: any environment that compiles; environments on the host work too.

  Returns:
    The environment. It has no ``sys``, so Brax' domain randomisation does not apply.

  Raises:
    ImportError: Brax is not installed.
    ValueError: the action bounds are not finite.

  Example:
    >>> from mbrl_jax import make_env, to_brax
    >>> env = to_brax(make_env("pendulum"))
    >>> env.observation_size, env.action_size, env.dt
    (3, 1, 0.05)
  """
  low, high = (np.asarray(x, np.float32) for x in (env.spec.action_low, env.spec.action_high))
  if not (np.isfinite(low) & np.isfinite(high)).all():
    raise ValueError(
      f"the actions of {env.spec.name!r} must have finite bounds to be scaled to, got "
      f"{low.tolist()} and {high.tolist()}."
    )
  base = import_extra("brax.envs.base", "brax")
  return type("ToBrax", (_ToBrax, base.Env), {"State": base.State})(env)


class _ToBrax:
  """The methods of ``brax.envs.base.Env``."""

  State: Any

  def __init__(self, env: Env):
    self._env = env

  def reset(self, rng: Array) -> Any:
    """Draws an initial state; ``rng`` is a typed key or, as in Brax, its data."""
    reset_key, key = jax.random.split(_typed(rng))
    state, zero = self._env.reset(reset_key), jnp.zeros((), jnp.float32)
    info = {"rng": jax.random.key_data(key), "truncation": zero}
    return self.State(state, state.obs, zero, zero, {}, info)

  def step(self, state: Any, action: Array) -> Any:
    """Takes one control step."""
    key, step_key = jax.random.split(_typed(state.info["rng"]))
    low, high = self._env.spec.action_low, self._env.spec.action_high
    scaled = low + (high - low) * (jnp.clip(action, -1, 1) + 1) / 2
    inner, transition = self._env.step(state.pipeline_state, scaled, step_key)
    truncation = transition.truncated.astype(jnp.float32)
    rng = jax.random.key_data(key)
    return state.replace(
      pipeline_state=inner,
      obs=inner.obs,
      reward=transition.reward,
      done=transition.terminated.astype(jnp.float32),
      info={**state.info, "rng": rng, "truncation": truncation},
    )

  @property
  def observation_size(self) -> int:
    """``O``."""
    return self._env.spec.obs_dim

  @property
  def action_size(self) -> int:
    """``A``."""
    return self._env.spec.action_dim

  @property
  def backend(self) -> str:
    """Name of the physics."""
    return "mbrl_jax"

  @property
  def dt(self) -> float:
    """Control step, s."""
    return self._env.spec.dt


def _typed(rng: Array) -> Array:
  typed = jnp.issubdtype(rng.dtype, jax.dtypes.prng_key)
  return rng if typed else jax.random.wrap_key_data(rng)
