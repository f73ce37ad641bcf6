"""Computes forward and inverse kinematics of legs with abduction, hip and knee.

x points forward, y left, z up; hip and knee turn about y, the abduction about x. At angle 0 a
leg hangs straight down; a positive angle of the hip swings it backward, and the knee's is
relative to the thigh. Of the two solutions for a point the one with a negative knee angle is
returned: the knee points backward, as in the Stoch robots.
"""

from __future__ import annotations

import jax.numpy as jnp

from mbrl_jax.ops.angle import arctan2, wrap
from mbrl_jax.types import Array

_STRAIGHT = 1.0 - 1e-6  # cosine of the least bend, for a finite derivative of arccos
_LEAST = 1e-6  # m^2, for a finite derivative of the square root


def foot_position(angles: Array, lengths: tuple[float, float]) -> Array:
  """Returns the foot position relative to the hip, ``[x, z]`` in metres.

  Args:
    angles: angles of hip and knee ``[2]``, rad.
    lengths: lengths of thigh and shank, metres.
  """
  thigh, shank = lengths
  turned = angles[0] + angles[1]
  x = -thigh * jnp.sin(angles[0]) - shank * jnp.sin(turned)
  return jnp.stack([x, -thigh * jnp.cos(angles[0]) - shank * jnp.cos(turned)])


def joint_angles(foot: Array, lengths: tuple[float, float]) -> Array:
  """Returns the angles of hip and knee ``[2]``, rad, that put the foot at ``[x, z]``.

  For a point out of reach the leg stretches in its direction.
  """
  thigh, shank = lengths
  x, z = foot[0], foot[1]
  cosine = (x**2 + z**2 - thigh**2 - shank**2) / (2 * thigh * shank)
  knee = -jnp.arccos(jnp.clip(cosine, -_STRAIGHT, _STRAIGHT))
  inner = arctan2(shank * jnp.sin(knee), thigh + shank * jnp.cos(knee))
  return jnp.stack([arctan2(-x, -z) - inner, knee])


def foot_position_3d(angles: Array, lengths: tuple[float, float], aside: Array) -> Array:
  """Returns the foot position relative to the abduction axis, ``[x, y, z]`` in metres.

  Args:
    angles: angles of abduction, hip and knee ``[3]``, rad.
    lengths: lengths of thigh and shank, metres.
    aside: offset of the leg's plane from that axis along y, metres.
  """
  x, z = foot_position(angles[1:], lengths)
  cos, sin = jnp.cos(angles[0]), jnp.sin(angles[0])
  return jnp.stack([x, cos * aside - sin * z, sin * aside + cos * z])


def joint_angles_3d(foot: Array, lengths: tuple[float, float], aside: Array) -> Array:
  """Returns the angles ``[3]``, rad, that put the foot at ``[x, y, z]``, below the hip."""
  x, y, z = foot
  down = -jnp.sqrt(jnp.maximum(y**2 + z**2 - aside**2, _LEAST))
  abduction = wrap(arctan2(z, y) - arctan2(down, aside))
  return jnp.concatenate([abduction[None], joint_angles(jnp.stack([x, down]), lengths)])
