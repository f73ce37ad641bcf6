"""Draws initial states around the reference pose of a model."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.types import Array, Key

Initial = Callable[[Key], tuple[Array, Array]]


def uniform(model: mujoco.MjModel, scale: float) -> Initial:
  """Adds uniform noise within ``[-scale, scale]`` to positions and velocities."""

  def initial(key: Key) -> tuple[Array, Array]:
    keys = jax.random.split(key)
    velocities = jax.random.uniform(keys[1], (model.nv,), minval=-scale, maxval=scale)
    return _positions(model, keys[0], scale), velocities

  return initial


def uniform_and_normal(model: mujoco.MjModel, scale: float) -> Initial:
  """Adds uniform noise within ``[-scale, scale]`` to positions, Gaussian to velocities.

  The standard deviation of the velocities is ``scale``.
  """

  def initial(key: Key) -> tuple[Array, Array]:
    keys = jax.random.split(key)
    return _positions(model, keys[0], scale), scale * jax.random.normal(keys[1], (model.nv,))

  return initial


def normal(model: mujoco.MjModel, scale: float) -> Initial:
  """Adds ``scale * N(0, 1)`` to positions and velocities; not for a free joint."""

  def initial(key: Key) -> tuple[Array, Array]:
    keys = jax.random.split(key)
    home = np.float32(model.qpos0)
    positions = home + scale * jax.random.normal(keys[0], (model.nq,))
    return positions, scale * jax.random.normal(keys[1], (model.nv,))

  return initial


def _positions(model: mujoco.MjModel, key: Key, scale: float) -> Array:
  noise = jax.random.uniform(key, (model.nq,), minval=-scale, maxval=scale)
  positions = np.float32(model.qpos0) + noise
  if model.jnt_type[0] != mujoco.mjtJoint.mjJNT_FREE:
    return positions
  # the engines normalise it only in the first step, after it was observed
  quaternion = positions[3:7] / jnp.linalg.norm(positions[3:7])
  return jnp.concatenate([positions[:3], quaternion, positions[7:]])
