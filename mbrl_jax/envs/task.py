"""Makes an ``Env`` out of a specification, physics and a few pure functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import mujoco

from mbrl_jax.envs.physics import Physics, PhysicsState
from mbrl_jax.types import Array, EnvSpec, EnvState, Key, Transition


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
  """A task on some physics; keeps ``types.Env``.

  Actions outside the bounds are clipped on their way to the physics; the reward
  and ``Transition.action`` see them as the agent chose them.

  Attributes:
    spec: what learners and planners may know.
    physics: the simulated system.
    initial: ``(key) -> (qpos [nq], qvel [nv])``, draws an initial state; the physics of
      a MuJoCo model takes activations ``[na]`` as a third.
    observe: ``(PhysicsState) -> [O]``.
    model: the MuJoCo model, to draw it; ``None`` for analytic tasks.
    segments: ``(pose [Q]) -> [S, 2, 2]`` end points in metres of line segments
      that draw the task in the plane (numpy), or ``None``.
  """

  spec: EnvSpec
  physics: Physics
  initial: Callable[[Key], tuple[Array, ...]]
  observe: Callable[[PhysicsState], Array]
  model: mujoco.MjModel | None = None
  segments: Callable[[Any], Any] | None = None

  def reset(self, key: Key) -> EnvState:
    """Draws an initial state."""
    physics = self.physics.init(*self.initial(key))
    return EnvState(physics, self.observe(physics), jnp.zeros((), jnp.int32))

  def step(self, state: EnvState, action: Array, key: Key) -> tuple[EnvState, Transition]:
    """Takes one control step; the physics is deterministic, so ``key`` is unused."""
    del key
    spec = self.spec
    action = jnp.asarray(action, jnp.float32)
    ctrl = jnp.clip(action, spec.action_low, spec.action_high)
    physics = self.physics.step(state.physics, ctrl)
    obs, steps = self.observe(physics), state.steps + 1
    terminated = spec.terminated(state.obs, action, obs)
    transition = Transition(
      obs=state.obs,
      action=action,
      reward=spec.reward(state.obs, action, obs),
      next_obs=obs,
      terminated=terminated,
      truncated=(steps >= spec.episode_length) & ~terminated,
    )
    return EnvState(physics, obs, steps), transition

  def pose(self, state: EnvState) -> Array:
    """Returns the generalised positions ``[nq]``."""
    return state.physics.qpos


def never(obs: Array, action: Array, next_obs: Array) -> Array:
  """Says that no transition terminates."""
  del obs, action, next_obs
  return jnp.zeros((), bool)
