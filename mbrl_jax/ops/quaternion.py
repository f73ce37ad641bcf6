"""Orientations as unit quaternions ``[w, x, y, z]``.

Euler angles are intrinsic rotations about x, then y, then z, as of three hinges in series:
``R = Rx(a) Ry(b) Rz(c)``.
"""

from __future__ import annotations

import jax.numpy as jnp

from mbrl_jax.ops.angle import arctan2
from mbrl_jax.ops.norm import norm
from mbrl_jax.types import Array


def matrix(quaternion: Array) -> Array:
  """Returns the rotation matrix ``[3, 3]``, whose columns are the rotated axes."""
  w, x, y, z = quaternion
  return jnp.stack(
    [
      jnp.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)]),
      jnp.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)]),
      jnp.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]),
    ]
  )


def z_axis(quaternion: Array) -> Array:
  """Returns the direction of the rotated z axis, ``[3]``."""
  w, x, y, z = quaternion
  return jnp.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])


def from_z_axis(axis: Array) -> Array:
  """Returns the smallest rotation of the z axis to the unit vector ``axis [3]``, not -z."""
  x, y, z = axis
  quaternion = jnp.stack([1 + z, -y, x, jnp.zeros_like(z)])
  return quaternion / norm(quaternion)


def to_euler(quaternion: Array) -> Array:
  """Returns Euler angles ``[3]``, rad: a and c within pi, b within pi / 2.

  In gimbal lock, at b = +-pi / 2, a and c rotate about the same axis, and c is 0 or
  arbitrary.
  """
  rotation = matrix(quaternion)
  cos_b = norm(rotation[0, :2])
  return jnp.stack(
    [
      arctan2(-rotation[1, 2], rotation[2, 2]),
      arctan2(rotation[0, 2], cos_b),
      arctan2(-rotation[0, 1], rotation[0, 0]),
    ]
  )


def from_euler(angles: Array) -> Array:
  """Returns the quaternion of Euler angles ``[3]``, rad."""
  (ca, cb, cc), (sa, sb, sc) = jnp.cos(angles / 2), jnp.sin(angles / 2)
  return jnp.stack(
    [
      ca * cb * cc - sa * sb * sc,
      sa * cb * cc + ca * sb * sc,
      ca * sb * cc - sa * cb * sc,
      ca * cb * sc + sa * sb * cc,
    ]
  )
