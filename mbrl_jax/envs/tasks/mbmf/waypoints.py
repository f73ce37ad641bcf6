"""Computes progress along a path of way-points, distance from it and the resulting cost.

A path consists of straight segments between way-points ``[W, 2]`` (numpy, metres); segment
``s`` leads from ``points[s]`` to ``points[s + 1]``. A segment counter is a float32 scalar, as
it is part of an observation; it is clipped to ``0 .. W - 2``.

All costs are ``w_d d - w_p g`` plus a posture penalty: ``d`` the distance from the segment,
``g`` the progress of a control step in segments, ``w`` the weights of a ``Path``.

Source: Nagabandi et al., "Neural Network Dynamics for Model-Based Deep Reinforcement Learning
with Model-Free Fine-Tuning" (2017), published code.

Deviations: progress telescopes, so the sum of ``g`` over an episode is the distance along the
path. In the published form (``as_released=True``) the step that reaches a new segment is paid
the whole progress on it again, and in a plan so are all later steps. The next segment becomes
active when it is a millimetre nearer or the end of this one is passed; in the published form
when it is not farther, so a path that turns back on itself turns a segment early. The last
segment stays active and pays nothing beyond its end; in the published form repeated last
points divide 0 by 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.matmul import matmul
from mbrl_jax.types import Array

TOLERANCE = 1e-3
"""Metres by which the next segment must be nearer to become active."""


class Weights(NamedTuple):
  """Weights of the cost of following a path.

  Attributes:
    distance: cost per metre from the path.
    progress: reward per segment of progress.
    posture: cost of a bad posture, see the cost functions.
  """

  distance: float
  progress: float
  posture: float


class Path(NamedTuple):
  """A path and the cost of following it.

  Attributes:
    points: way-points ``[W, 2]`` relative to the start, metres.
    weights: see ``Weights``.
    heading: initial heading of the agent, rad.
  """

  points: np.ndarray
  weights: Weights
  heading: float = 0.0


def progress(points: np.ndarray, segment: Array, point: Array) -> Array:
  """Returns the fraction of a segment before ``point [2]``; < 0 or > 1 beyond its ends."""
  start, along = _segment(points, segment)
  length = jnp.sum(along**2)
  return jnp.where(length > 0, matmul(point - start, along) / jnp.maximum(length, 1e-12), 0.0)


def distance(points: np.ndarray, segment: Array, point: Array) -> Array:
  """Returns the distance of ``point [2]`` from a segment, metres."""
  start, along = _segment(points, segment)
  share = jnp.clip(progress(points, segment, point), 0.0, 1.0)
  return _norm(point - start - share * along)


def travelled(points: np.ndarray, segment: Array, point: Array) -> Array:
  """Returns the distance along the path to ``point [2]``, in segments, at most its length."""
  share = progress(points, segment, point)
  last = _index(points, segment) == len(points) - 2
  return segment + jnp.where(last, jnp.minimum(share, 1.0), share)


def advance(
  points: np.ndarray, segment: Array, point: Array, as_released: bool = False
) -> Array:
  """Returns the active segment at ``point [2]``: this one or the next."""
  here, there = (distance(points, segment + i, point) for i in (0, 1))
  if as_released:
    reached = there <= here
  else:
    passed = progress(points, segment, point) >= 1.0
    reached = passed | (there < here - TOLERANCE)
  return segment + jnp.where(reached & (segment < len(points) - 2), 1.0, 0.0)


def heading_error(points: np.ndarray, segment: Array, heading: Array) -> Array:
  """Returns the angle between ``heading`` (rad) and a segment, 0 to pi."""
  _, (x, y) = _segment(points, segment)
  difference = heading - jnp.arctan2(y, x)
  return jnp.abs(jnp.mod(difference + jnp.pi, 2 * jnp.pi) - jnp.pi)


def swimmer_cost(
  weights: Weights, off: Array, gain: Array, error: Array, bends: Array
) -> Array:
  """Returns the swimmer's cost; posture: heading error (rad) and joint angles ``bends [2]``."""
  limit = jnp.pi / 3
  turned = jnp.where(error < limit, weights.posture * error, 20.0)
  bent = 2.0 * jnp.sum(jnp.abs(bends) > limit)
  return weights.distance * off - weights.progress * gain + turned + bent


def ant_cost(weights: Weights, off: Array, gain: Array, height: Array) -> Array:
  """Returns the ant's cost; posture: height of its centre of mass outside 0.3 to 0.67 m.

  A distance of a metre and more costs ten times as much.
  """
  off = jnp.where(off < 1.0, off, 10.0 * off)
  tilted = jnp.where((height > 0.67) | (height < 0.3), 40.0 * weights.posture, 0.0)
  return weights.distance * off - weights.progress * gain + tilted


def halfcheetah_cost(weights: Weights, off: Array, gain: Array, front: Array) -> Array:
  """Returns the half-cheetah's cost; posture: joint angles of the front leg ``[3]``."""
  folded = jnp.sum(front >= np.array([0.2, 0.0, 0.0], np.float32))
  return weights.distance * off - weights.progress * gain + weights.posture * folded


def _index(points: np.ndarray, segment: Array) -> Array:
  return jnp.clip(jnp.nan_to_num(segment), 0, len(points) - 2).astype(int)


def _segment(points: np.ndarray, segment: Array) -> tuple[Array, Array]:
  """Returns the start ``[2]`` of a segment and the vector along it ``[2]``."""
  index, corners = _index(points, segment), jnp.asarray(points, jnp.float32)
  return corners[index], corners[index + 1] - corners[index]


def _norm(vector: Any) -> Array:
  """Returns the length of ``vector``, with a derivative of 0 at 0."""
  square = jnp.sum(vector**2)
  return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
