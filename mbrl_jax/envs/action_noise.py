"""Adds noise to the actions of a task: the stochastic environments of PETS.

The physics receives ``clip(a + N(0, std^2), low, high)``. The agent observes, and learns
from, the action it chose; to a learned model the disturbance is process noise.

Deviations: the original's reward charges the noisy action, this one the chosen action, so
that the reward of a stored transition is ``spec.reward`` of that transition and planner and
environment agree. On cart-pole the two differ by about ``0.01 std^2`` a step. An adapted
environment without a reward function charges the noisy action.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.envs.restart import restart
from mbrl_jax.ops import validate
from mbrl_jax.ops.missing import MissingReward
from mbrl_jax.types import Array, Env, EnvSpec, EnvState, Key, Transition


@dataclasses.dataclass(frozen=True, eq=False)
class ActionNoise:
  """Adds Gaussian noise to every action of an environment.

  Attributes:
    env: the environment without noise.
    std: standard deviation, one number or ``[A]``, in the actions' unit.

  Raises:
    ValueError: ``std`` is negative, not finite or has another shape.

  Example:
    >>> import jax
    >>> from mbrl_jax.envs import ActionNoise, make_env
    >>> env = ActionNoise(make_env("pendulum"), std=0.1)
    >>> state = env.reset(jax.random.key(0))
    >>> state, transition = env.step(state, [0.5], jax.random.key(1))
    >>> transition.action.tolist()  # the chosen one, without noise
    [0.5]
  """

  env: Env
  std: Any

  def __post_init__(self) -> None:
    shapes = (), (self.spec.action_dim,)
    try:
      std = np.asarray(self.std, float)
    except (TypeError, ValueError):
      std = np.full((), np.nan)
    if std.shape not in shapes or not (np.isfinite(std) & (std >= 0)).all():
      raise validate.ArgumentError(
        "action_noise",
        self.std,
        f"must be finite and not negative: one number, or {shapes[1][0]}.",
      )

  @property
  def spec(self) -> EnvSpec:
    """Specification of the environment."""
    return self.env.spec

  @property
  def model(self) -> Any:
    """MuJoCo model of the environment, or ``None``."""
    return getattr(self.env, "model", None)

  @property
  def segments(self) -> Any:
    """Drawing function of the environment, or ``None``."""
    return getattr(self.env, "segments", None)

  @property
  def max_envs(self) -> int | None:
    """Maximum number of concurrent environments, ``None``: unlimited."""
    return getattr(self.env, "max_envs", None)

  def reset(self, key: Key) -> EnvState:
    """Draws an initial state."""
    return self.env.reset(key)

  def step(self, state: EnvState, action: Array, key: Key) -> tuple[EnvState, Transition]:
    """Takes one control step with a noisy action."""
    noise_key, step_key = jax.random.split(key)
    action = jnp.asarray(action, jnp.float32)
    noisy = action + np.float32(self.std) * jax.random.normal(
      noise_key, action.shape, jnp.float32
    )
    noisy = jnp.clip(noisy, self.spec.action_low, self.spec.action_high)
    state, transition = self.env.step(state, noisy, step_key)
    if not isinstance(self.spec.reward, MissingReward):
      reward = self.spec.reward(transition.obs, action, transition.next_obs)
      transition = transition._replace(reward=reward)
    return state, transition._replace(action=action)

  def restart(self, done: Array, state: EnvState, key: Key) -> EnvState:
    """Starts a new episode where ``done``."""
    return restart(self.env, done, state, key)

  def observe(self, physics: Any) -> Array:
    """Returns the observation ``[O]`` of a physics state."""
    return self.env.observe(physics)

  def pose(self, state: EnvState) -> Array:
    """Returns the configuration ``[Q]`` to draw."""
    return self.env.pose(state)
