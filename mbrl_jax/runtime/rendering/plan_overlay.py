"""Paths of a task's reference point under candidate plans, to draw over its frames.

The point is a site or a body (its centre of mass) of a MuJoCo model, or the end of the
last line segment of a task that is drawn in the plane.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import mujoco
import numpy as np

from mbrl_jax.ops import validate
from mbrl_jax.runtime.rendering import gl_worker

PLAN = (0.83, 0.07, 0.35, 1.0)
"""Colour of the executed plan (red, green, blue, alpha)."""
BEST = (0.0, 0.5, 0.28, 0.9)
WORST = (0.55, 0.57, 0.62, 0.4)
"""Colours of the candidates with the highest and the lowest return."""


class PlanOverlay(NamedTuple):
  """Predicted poses and returns of the executed plan, the first, and ``N`` candidates.

  Attributes:
    poses: predicted poses of the plans at each frame, ``[T, 1 + N, K, Q]``.
    returns: predicted returns of the plans, ``[T, 1 + N]``.
    name: site or body whose path is drawn; ``None``: see ``model_point``.
  """

  poses: np.ndarray
  returns: np.ndarray
  name: str | None = None


def colours(returns: np.ndarray) -> np.ndarray:
  """Colours candidates by the rank of their return, and the executed plan as ``PLAN``.

  Args:
    returns: ``[1 + N]``, the executed plan first; values that are not finite rank last.

  Returns:
    Red, green, blue and alpha, 0 to 1, ``[1 + N, 4]``.
  """
  candidates = np.nan_to_num(returns[1:], nan=-np.inf, posinf=-np.inf)
  rank = np.argsort(np.argsort(candidates)) / max(len(candidates) - 1, 1)
  mixed = np.outer(1 - rank, WORST) + np.outer(rank, BEST)
  return np.concatenate([[PLAN], mixed])


def widths(count: int) -> np.ndarray:
  """Returns the widths in pixels of ``count`` paths, the executed plan first."""
  return np.where(np.arange(count) == 0, 4.0, 1.5)


def model_point(
  model: mujoco.MjModel, name: str | None = None
) -> Callable[[np.ndarray], np.ndarray]:
  """Makes ``(poses [..., Q]) -> points [..., 3]`` in world coordinates, metres.

  Args:
    model: the MuJoCo model.
    name: a site or a body; ``None``: the last site of the last moving body, mocap bodies
      excluded, or that body's centre of mass.

  Raises:
    ValueError: ``name`` is neither a site nor a body.
  """
  data = mujoco.MjData(model)
  is_site, index = _find(model, name)

  def point(pose: np.ndarray) -> np.ndarray:
    gl_worker.set_pose(model, data, pose)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    return (data.site_xpos if is_site else data.xipos)[index].copy()

  return lambda poses: _map_poses(point, poses, 3)


def segment_point(
  segments: Callable[[np.ndarray], np.ndarray],
) -> Callable[[np.ndarray], np.ndarray]:
  """Makes ``(poses [..., Q]) -> points [..., 2]``: the end of the last line segment."""
  return lambda poses: _map_poses(lambda pose: np.asarray(segments(pose))[-1, 1], poses, 2)


def _map_poses(
  point: Callable[[np.ndarray], np.ndarray], poses: np.ndarray, size: int
) -> np.ndarray:
  """Maps ``point`` over leading axes; a pose that is not finite gives NaN."""
  poses = np.asarray(poses, np.float64)
  flat = poses.reshape(-1, poses.shape[-1])
  points = np.full((len(flat), size), np.nan)
  for i in np.flatnonzero(np.isfinite(flat).all(-1)):
    points[i] = point(flat[i])
  return points.reshape(*poses.shape[:-1], size)


def _find(model: mujoco.MjModel, name: str | None) -> tuple[bool, int]:
  """Returns whether the point is a site, and the index of the site or body."""
  if name is None:
    is_mocap = model.body_mocapid[model.body_rootid] >= 0
    moving = np.flatnonzero((model.body_weldid != 0) & ~is_mocap)
    last = int(moving[-1]) if len(moving) else 0
    of_last = np.flatnonzero(model.site_bodyid == last)
    return (True, int(of_last[-1])) if last and len(of_last) else (False, last)
  sites = [model.site(i).name for i in range(model.nsite)]
  bodies = [model.body(i).name for i in range(1, model.nbody)]
  validate.choice("trace", name, [n for n in [*sites, *bodies] if n])
  return (True, sites.index(name)) if name in sites else (False, 1 + bodies.index(name))
