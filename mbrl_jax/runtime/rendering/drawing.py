"""Draws tasks as line figures in the plane, for machines without OpenGL.

Uses matplotlib's Agg canvas directly: no pyplot, no windows, no global state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import mujoco
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure

from mbrl_jax.runtime.rendering import gl_worker

_COLOURS = ("#8a8f98", "#29568f", "#d9732b", "#33a05c", "#7a4fa3", "#b03a48")
_BACKGROUND = "#f3f5f8"
_MARGIN = 0.12  # fraction of the drawing left free on every side
_GROUPS = 3  # MuJoCo shows geom and site groups below this one


class Lines(NamedTuple):
  """Paths to draw over every frame.

  Attributes:
    points: ``[T, N, K, D]`` in metres, ``D`` 2 in a drawing and 3 in world coordinates; a
      path ends at the first point that is not finite.
    colours: red, green, blue and alpha, 0 to 1, ``[T, N, 4]``.
    widths: pixels, ``[N]``.
  """

  points: np.ndarray
  colours: np.ndarray
  widths: np.ndarray


def draw(
  segments: Callable[[np.ndarray], np.ndarray],
  poses: np.ndarray,
  width: int,
  height: int,
  lines: Lines | None = None,
) -> np.ndarray:
  """Draws line segments for every pose, on axes that contain all of them.

  Args:
    segments: ``(pose [Q]) -> [S, 2, 2]`` end points in metres; a segment of length 0
      becomes a dot.
    poses: ``[T, Q]``; a pose that is not finite gives an empty frame.
    width: pixels.
    height: pixels.
    lines: paths to draw over each pose, each with a dot at its end, the first on top;
      clipped to the axes.

  Returns:
    Frames ``[T, height, width, 3]`` (uint8).
  """
  finite = np.isfinite(poses).all(-1)
  shapes = [
    np.asarray(segments(pose)) if ok else None for pose, ok in zip(poses, finite, strict=True)
  ]
  figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor=_BACKGROUND)
  canvas = FigureCanvasAgg(figure)
  axes = figure.add_axes((0, 0, 1, 1))
  axes.set_axis_off()
  _set_limits(axes, [shape for shape in shapes if shape is not None], width / height)
  pixel = np.ptp(axes.get_xlim()) / width
  collection = LineCollection([], linewidths=max(2.0, height / 60), capstyle="round")
  axes.add_collection(collection, autolim=False)
  paths = LineCollection([], capstyle="round", joinstyle="round")
  axes.add_collection(paths, autolim=False)
  dots = axes.scatter([], [], zorder=paths.get_zorder(), linewidths=0)
  frames = np.empty((len(poses), height, width, 3), np.uint8)
  for i, (shape, frame) in enumerate(zip(shapes, frames, strict=True)):
    collection.set_segments([] if shape is None else list(_widen_short(shape, pixel)))
    if shape is not None:
      collection.set_color([_COLOURS[k % len(_COLOURS)] for k in range(len(shape))])
    if lines is not None:
      _set_paths(paths, dots, lines.points[i], lines.colours[i], lines.widths)
    canvas.draw()
    frame[...] = np.asarray(canvas.buffer_rgba())[..., :3]
  return frames


def _widen_short(segments: np.ndarray, pixel: float) -> np.ndarray:
  """Replaces ``segments [S, 2, 2]`` shorter than a pixel by segments of one pixel."""
  short = np.linalg.norm(segments[:, 1] - segments[:, 0], axis=-1) < pixel
  dots = segments.mean(1, keepdims=True) + pixel * np.array([[-0.5, 0.0], [0.5, 0.0]])
  return np.where(short[:, None, None], dots, segments)


def _set_paths(
  paths: LineCollection,
  dots: PathCollection,
  points: np.ndarray,
  colours: np.ndarray,
  widths: np.ndarray,
) -> None:
  """Sets ``points [N, K, 2]`` as paths, and the last point of each as a dot."""
  points, colours, widths = points[::-1], colours[::-1], 0.72 * widths[::-1]  # 1/72 inch
  paths.set_segments(list(points))
  paths.set(color=colours, linewidths=widths)
  dots.set_offsets(points[:, -1])
  dots.set(facecolor=np.clip(colours * (1, 1, 1, 10), 0, 1))
  dots.set_sizes((3 + 2 * widths) ** 2)


def _set_limits(axes: Axes, lines: Sequence[np.ndarray], aspect: float) -> None:
  """Fits the axes around all lines, with equal scales."""
  points = np.concatenate([line.reshape(-1, 2) for line in lines] or [np.zeros((1, 2))])
  low, high = points.min(0), points.max(0)
  centre = (low + high) / 2
  half = np.maximum((high - low) / 2, 0.25) / (1 - 2 * _MARGIN)
  half_height = max(half[1], half[0] / aspect)
  axes.set_xlim(centre[0] - half_height * aspect, centre[0] + half_height * aspect)
  axes.set_ylim(centre[1] - half_height, centre[1] + half_height)


def model_segments(model: mujoco.MjModel) -> Callable[[np.ndarray], np.ndarray]:
  """Makes the ``segments`` function of a MuJoCo model, for ``draw``.

  Every visible geom except planes becomes its longest axis and every visible site a dot,
  seen from the model's first camera, or from the side (x to the right, z up) if it has none.
  """
  data = mujoco.MjData(model)
  view = side_view(model)
  planes = model.geom_type == int(mujoco.mjtGeom.mjGEOM_PLANE)
  geoms = np.flatnonzero(
    ~planes & _visible(model, model.geom_group, model.geom_rgba, model.geom_matid)
  )
  sites = np.flatnonzero(_visible(model, model.site_group, model.site_rgba, model.site_matid))

  def segments(pose: np.ndarray) -> np.ndarray:
    gl_worker.set_pose(model, data, pose)
    mujoco.mj_kinematics(model, data)
    half = np.array([_half_axis(model, data, int(geom)) for geom in geoms]).reshape(-1, 3)
    centre = data.geom_xpos[geoms]
    axes = np.stack([centre - half, centre + half], 1)
    return np.concatenate([axes, data.site_xpos[sites][:, None].repeat(2, 1)]) @ view

  return segments


def _visible(
  model: mujoco.MjModel, groups: np.ndarray, colours: np.ndarray, materials: np.ndarray
) -> np.ndarray:
  """Returns which geoms, or sites, are neither transparent nor in a hidden group."""
  opaque = colours[:, 3] > 0
  if model.nmat:
    opaque &= (materials < 0) | (model.mat_rgba[materials, 3] > 0)
  return opaque & (groups < _GROUPS)


def side_view(model: mujoco.MjModel) -> np.ndarray:
  """Returns the projection ``[3, 2]`` from world coordinates to the drawing."""
  if not model.ncam:
    return np.eye(3)[:, [0, 2]]
  data = mujoco.MjData(model)
  mujoco.mj_forward(model, data)
  return data.cam_xmat[0].reshape(3, 3)[:, :2].copy()


def _half_axis(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> np.ndarray:
  """Returns half of a geom's longest axis in world coordinates, ``[3]``."""
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
