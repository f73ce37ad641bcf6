"""Draws tasks as plain figures in the plane, where there is no OpenGL.

Uses matplotlib's Agg canvas directly: no pyplot, no windows, no global state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mujoco
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

_COLOURS = ("#8a8f98", "#29568f", "#d9732b", "#33a05c", "#7a4fa3", "#b03a48")
_BACKGROUND = "#f3f5f8"
_MARGIN = 0.12  # share of the drawing left free on every side


def draw(
  segments: Callable[[np.ndarray], np.ndarray], poses: np.ndarray, width: int, height: int
) -> np.ndarray:
  """Draws line segments for every pose, on axes that hold all of them.

  Args:
    segments: ``(pose [Q]) -> [S, 2, 2]`` end points in metres.
    poses: ``[T, Q]``; a pose that is not finite leaves its frame empty.
    width: pixels.
    height: pixels.

  Returns:
    Frames ``[T, height, width, 3]`` (uint8).
  """
  finite = np.isfinite(poses).all(-1)
  lines = [
    np.asarray(segments(pose)) if ok else None for pose, ok in zip(poses, finite, strict=True)
  ]
  figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor=_BACKGROUND)
  canvas = FigureCanvasAgg(figure)
  axes = figure.add_axes((0, 0, 1, 1))
  axes.set_axis_off()
  _set_limits(axes, [line for line in lines if line is not None], width / height)
  collection = LineCollection([], linewidths=max(2.0, height / 60), capstyle="round")
  axes.add_collection(collection, autolim=False)
  frames = np.empty((len(poses), height, width, 3), np.uint8)
  for line, frame in zip(lines, frames, strict=True):
    collection.set_segments([] if line is None else list(line))
    if line is not None:
      collection.set_color([_COLOURS[i % len(_COLOURS)] for i in range(len(line))])
    canvas.draw()
    frame[...] = np.asarray(canvas.buffer_rgba())[..., :3]
  return frames


def _set_limits(axes, lines: Sequence[np.ndarray], aspect: float) -> None:
  """Fits the axes around all lines, metres being as long across as up."""
  points = np.concatenate([line.reshape(-1, 2) for line in lines] or [np.zeros((1, 2))])
  low, high = points.min(0), points.max(0)
  centre = (low + high) / 2
  half = np.maximum((high - low) / 2, 0.25) / (1 - 2 * _MARGIN)
  half_height = max(half[1], half[0] / aspect)
  axes.set_xlim(centre[0] - half_height * aspect, centre[0] + half_height * aspect)
  axes.set_ylim(centre[1] - half_height, centre[1] + half_height)


def model_segments(model: mujoco.MjModel) -> Callable[[np.ndarray], np.ndarray]:
  """Makes a drawing function for any MuJoCo model.

  Every geom but planes becomes its longest axis, seen from the model's first
  camera, or from the side (x to the right, z up) where it has none.
  """
  data = mujoco.MjData(model)
  mujoco.mj_forward(model, data)
  view = data.cam_xmat[0].reshape(3, 3)[:, :2] if model.ncam else np.eye(3)[:, [0, 2]]
  view = view.copy()
  drawn = np.flatnonzero(model.geom_type != int(mujoco.mjtGeom.mjGEOM_PLANE))

  def segments(pose: np.ndarray) -> np.ndarray:
    data.qpos[:] = pose
    mujoco.mj_kinematics(model, data)
    half = np.stack([_half_axis(model, data, geom) for geom in drawn])
    centre = data.geom_xpos[drawn]
    return np.stack([centre - half, centre + half], 1) @ view

  return segments


def _half_axis(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> np.ndarray:
  """Returns half of a geom's longest axis in world coordinates ``[3]``."""
  size = model.geom_size[geom]
  kind = mujoco.mjtGeom(model.geom_type[geom])
  if kind in (mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_CYLINDER):
    local = np.array([0.0, 0.0, size[1]])
  elif kind == mujoco.mjtGeom.mjGEOM_SPHERE:
    local = np.zeros(3)
  else:
    longest = np.argmax(model.geom_aabb[geom, 3:])
    local = np.eye(3)[longest] * model.geom_aabb[geom, 3 + longest]
  return data.geom_xmat[geom].reshape(3, 3) @ local
