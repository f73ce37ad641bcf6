"""Provides goals that are drawn at the reset and fixed for the episode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.task import Memory
from mbrl_jax.types import Array, Key

_UPRIGHT = (1.0, 0.0, 0.0, 0.0)


def constant_memory(draw: Callable[[Key], Any]) -> Memory:
  """Makes a ``Memory`` that holds ``draw(key)`` of the reset for the whole episode."""

  def start(key: Key, physics: PhysicsState) -> Any:
    del physics
    return draw(key)

  def update(before: PhysicsState, action: Array, after: PhysicsState) -> Any:
    del before, action
    return after.memory

  return Memory(start, update)


def mocap_pose(position: Array, quaternion: Array | tuple[float, ...] = _UPRIGHT) -> Array:
  """Returns the pose of a model's only mocap body, for ``Task.marks``.

  Args:
    position: ``[3]``, metres.
    quaternion: ``[4]``, w x y z.

  Returns:
    ``[7]``.
  """
  return jnp.concatenate([position, jnp.asarray(quaternion)])


def yaw_quaternion(angle: Array) -> Array:
  """Returns the quaternion ``[4]`` of a rotation by ``angle`` (rad) about z."""
  return jnp.stack(
    [jnp.cos(angle / 2), jnp.zeros_like(angle), jnp.zeros_like(angle), jnp.sin(angle / 2)]
  )
