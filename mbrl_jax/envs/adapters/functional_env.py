"""Adapts the functional environments of Brax and MuJoCo Playground to ``types.Env``.

They have ``reset(rng)`` and ``step(state, action)``, whose state has ``obs``, ``reward`` and
``done``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.envs.adapters import task_functions
from mbrl_jax.envs.adapters.host import spaces
from mbrl_jax.ops import validate
from mbrl_jax.ops.env_failure import environment_error
from mbrl_jax.types import Array, EnvSpec, EnvState, Key, RewardFn, TerminationFn, Transition

_REFUSED_WRAPPERS = ("AutoReset", "Vmap", "Episode", "Eval", "RslRl", "Gym")


@dataclasses.dataclass(frozen=True, eq=False)
class FunctionalEnv:
  """An environment of Brax or Playground; see ``from_brax`` and ``from_playground``.

  Attributes:
    spec: static description for learners and planners.
    env: the library's environment.
    positions: ``(env's state) -> [Q]``, positions for a renderer.
    parts: keys of a dictionary observation to include; ``None``: all.
    reward, terminated: the user's functions; ``None``: the environment's own values.
    model: MuJoCo model for rendering; ``None``: there is none.
    repeat: steps of the environment in one control step; rewards are summed.
  """

  spec: EnvSpec
  env: Any
  positions: Callable[[Any], Array]
  parts: tuple[str, ...] | None = None
  reward: RewardFn | None = None
  terminated: TerminationFn | None = None
  model: mujoco.MjModel | None = None
  repeat: int = 1

  def reset(self, key: Key) -> EnvState:
    """Draws an initial state."""
    physics = jax.tree.map(_strong, self.env.reset(jax.random.key_data(key)))
    return EnvState(physics, self.observe(physics), jnp.zeros((), jnp.int32))

  def step(self, state: EnvState, action: Array, key: Key) -> tuple[EnvState, Transition]:
    """Takes one control step; the state holds its own random key, so ``key`` is unused."""
    del key
    action = jnp.asarray(action, jnp.float32)
    sent = jnp.clip(action, self.spec.action_low, self.spec.action_high)
    physics, reward = self._advance(state.physics, sent)
    obs, steps = self.observe(physics), state.steps + 1
    inputs = state.obs, action, obs
    done = _scalar(self.spec.name, "done", physics.done) > 0
    terminated = done if self.terminated is None else self.terminated(*inputs)
    transition = Transition(
      obs=state.obs,
      action=action,
      reward=jnp.float32(reward if self.reward is None else self.reward(*inputs)),
      next_obs=obs,
      terminated=terminated,
      truncated=(done | (steps >= self.spec.episode_length)) & ~terminated,
    )
    return EnvState(physics, obs, steps), transition

  def _advance(self, before: Any, action: Array) -> tuple[Any, Array]:
    """Repeats the action; returns the state after the control step and the summed reward."""

    def once(state: Any, _: None) -> tuple[Any, Array]:
      after = self.env.step(state, action)
      _check_step(self.spec.name, state, after)
      after = jax.tree.map(lambda old, new: _strong(new, old.dtype), state, after)
      return after, _scalar(self.spec.name, "reward", after.reward)

    if self.repeat == 1:
      return once(before, None)
    after, rewards = jax.lax.scan(once, before, length=self.repeat)
    return after, rewards.sum()

  def observe(self, physics: Any) -> Array:
    """Returns the observation of a state as a vector ``[O]``."""
    return flatten(physics.obs, self.parts)

  def pose(self, state: EnvState) -> Array:
    """Returns the generalised positions ``[Q]``."""
    return self.positions(state.physics)


def make_functional(
  env: Any,
  name: str,
  *,
  reward: RewardFn | None,
  terminated: TerminationFn | None,
  episode_length: int,
  action_low: Any,
  action_high: Any,
  example: str,
  repeat: int = 1,
  **fields: Any,
) -> FunctionalEnv:
  """Makes the environment and its specification.

  Args:
    env: environment of Brax or Playground.
    name: for the specification.
    reward, terminated: the user's functions or ``None``.
    episode_length: control steps.
    action_low, action_high: bounds, one number or ``[A]``.
    example: the user's call up to its first argument, for messages.
    repeat: see ``FunctionalEnv``.
    **fields: ``positions``, ``parts`` and ``model`` of ``FunctionalEnv``.

  Raises:
    ValueError: a wrapper, a part that is not observed, a number out of range, a reward or
      termination function that does not return one number or bool.
  """
  refuse_wrappers(env)
  validate.positive(episode_length=episode_length, action_repeat=repeat)
  first = jax.eval_shape(lambda: env.reset(jax.random.key_data(jax.random.key(0))))
  parts = fields["parts"]
  obs = jax.eval_shape(lambda obs: flatten(obs, parts), first.obs)
  low, high = (
    spaces.bound(name, value, (env.action_size,)).astype(np.float32)
    for name, value in (("action_low", action_low), ("action_high", action_high))
  )
  if not (low <= high).all():
    other = "action_high", high.tolist()
    raise validate.ArgumentError("action_low", low.tolist(), "must be below {}.", other)
  shapes = example, obs.size, env.action_size
  spec = EnvSpec(
    name=name,
    obs_dim=obs.size,
    action_low=low,
    action_high=high,
    dt=float(getattr(env, "dt", 1.0)) * repeat,
    episode_length=int(episode_length),
    reward=task_functions.reward(reward, *shapes),
    terminated=task_functions.terminated(terminated, *shapes),
  )
  return FunctionalEnv(spec, env, reward=reward, terminated=terminated, repeat=repeat, **fields)


def flatten(obs: Any, parts: tuple[str, ...] | None = None) -> Array:
  """Concatenates an observation to one vector ``[O]``; a dictionary's parts sorted by name.

  Raises:
    ValueError: an unknown part.
  """
  if parts is not None:
    known = sorted(obs) if isinstance(obs, Mapping) else []
    for part in parts:
      if part not in known:
        raise validate.ArgumentError("parts", part, f"is not observed; choose from {known}.")
    obs = [obs[part] for part in parts]
  leaves = jax.tree.leaves(obs)
  return jnp.concatenate([jnp.asarray(leaf, jnp.float32).reshape(-1) for leaf in leaves])


def refuse_wrappers(env: Any) -> None:
  """Refuses wrappers that hide how an episode ended, or that batch the environment.

  Raises:
    ValueError: names the outermost such wrapper.
  """
  while env is not None:
    name = type(env).__name__
    if name.endswith("Wrapper") and any(word in name for word in _REFUSED_WRAPPERS):
      raise ValueError(
        f"the environment is wrapped in {name}, which hides its final observations or "
        "batches it: pass the unwrapped environment."
      )
    env = vars(env).get("env")


def _strong(value: Any, dtype: Any = None) -> Array:
  """Returns a strongly typed array, whose dtype arithmetic does not change."""
  return jnp.asarray(value, dtype or jnp.asarray(value).dtype)


def _scalar(name: str, field: str, value: Array) -> Array:
  """Returns a scalar ``[]`` of an array of one element.

  Raises:
    EnvironmentFailed: there are several elements.
  """
  if jnp.size(value) != 1:
    raise environment_error(
      f"{name} returns {field} of shape {list(jnp.shape(value))}, not one number."
    )
  return jnp.reshape(value, ())


def _check_step(name: str, before: Any, after: Any) -> None:
  """Checks that a step keeps the state's shapes, and its dtypes up to safe conversions.

  Raises:
    EnvironmentFailed: names the leaf that changes.
  """
  structures: list[Any] = [jax.tree.structure(before), jax.tree.structure(after)]
  if structures[0] != structures[1]:
    raise environment_error(f"{name} changes the structure of its state in a step.")
  for (path, old), new in zip(
    jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True
  ):
    new = jnp.asarray(new)
    kept = old.dtype in (new.dtype, bool) or np.can_cast(new.dtype, old.dtype, "same_kind")
    if new.shape != old.shape or not kept:
      was, becomes = (f"{x.dtype} {list(x.shape)}" for x in (old, new))
      raise environment_error(
        f"{name} turns state{jax.tree_util.keystr(path)} from {was} into {becomes} in a step: "
        "reset must return what step does."
      )
