"""Solves the kinematics of a leg of two links in its plane.

The hip is the origin, x points forward, z up. Angles turn about y, which points left: 0 hangs
straight down, a positive angle swings a link backward, and the knee's is relative to the thigh.
Of the two ways to reach a point, the knee that is bent by a negative angle is taken: it
points backward, as those of the Stoch robots do.
"""

from __future__ import annotations

import jax.numpy as jnp

from mbrl_jax.types import Array

_STRAIGHT = 1.0 - 1e-6  # cosine of the least bend, where arccos still has a derivative


def foot_position(angles: Array, lengths: tuple[float, float]) -> Array:
  """Returns where the foot is, ``[x, z]`` in metres.

  Args:
    angles: of hip and knee ``[2]``, rad.
    lengths: of thigh and shank, metres.
  """
  thigh, shank = lengths
  turned = angles[0] + angles[1]
  x = -thigh * jnp.sin(angles[0]) - shank * jnp.sin(turned)
  return jnp.stack([x, -thigh * jnp.cos(angles[0]) - shank * jnp.cos(turned)])


def joint_angles(foot: Array, lengths: tuple[float, float]) -> Array:
  """Returns the angles of hip and knee ``[2]``, rad, that put the foot at ``[x, z]``.

  A point out of reach is approached as far as the leg goes, along its direction.
  """
  thigh, shank = lengths
  x, z = foot[0], foot[1]
  cosine = (x**2 + z**2 - thigh**2 - shank**2) / (2 * thigh * shank)
  knee = -jnp.arccos(jnp.clip(cosine, -_STRAIGHT, _STRAIGHT))
  inner = jnp.arctan2(shank * jnp.sin(knee), thigh + shank * jnp.cos(knee))
  return jnp.stack([jnp.arctan2(-x, -z) - inner, knee])
