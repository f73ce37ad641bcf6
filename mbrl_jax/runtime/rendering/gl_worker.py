"""Renders poses of a MuJoCo model with OpenGL; ``gl_process`` runs it as a program.

It runs in a separate process because environment variables, which must not change in the
caller, select the OpenGL driver, and because a broken driver may kill the process. It imports
neither jax nor mbrl_jax, so it starts in a fraction of a second.

Usage: ``python -P gl_worker.py MODEL.mjb POSES.npy FRAMES.npy WIDTH HEIGHT CAMERA
[LINES.npz]``, ``CAMERA`` a name, or ``-`` for the model's first camera. The lines are arrays
``points [T, N, K, 3]``, ``colours [T, N, 4]`` and ``widths [N]``.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping

import mujoco
import numpy as np


def render(
  model: mujoco.MjModel,
  poses: np.ndarray,
  width: int,
  height: int,
  camera: str | int,
  lines: Mapping[str, np.ndarray] | None = None,
) -> np.ndarray:
  """Renders ``poses [T, Q]`` to frames ``[T, height, width, 3]`` (uint8)."""
  model.vis.global_.offwidth = max(width, model.vis.global_.offwidth)
  model.vis.global_.offheight = max(height, model.vis.global_.offheight)
  data = mujoco.MjData(model)
  frames = np.empty((len(poses), height, width, 3), np.uint8)
  count = 0 if lines is None else lines["points"][0, ..., 0].size
  with mujoco.Renderer(model, height, width, max_geom=10_000 + count) as renderer:
    for i, (pose, frame) in enumerate(zip(poses, frames, strict=True)):
      set_pose(model, data, pose)
      mujoco.mj_forward(model, data)
      renderer.update_scene(data, camera)
      if lines is not None:
        add_lines(renderer.scene, lines["points"][i], lines["colours"][i], lines["widths"])
      renderer.render(out=frame)
  return frames


def set_pose(model: mujoco.MjModel, data: mujoco.MjData, pose: np.ndarray) -> None:
  """Sets a pose ``[nq]``, or ``[nq + 7 nmocap]`` with the poses of mocap bodies."""
  qpos, mocap = np.split(pose, [model.nq])
  data.qpos[:] = qpos
  if mocap.size:
    positions, quaternions = np.split(mocap, [3 * model.nmocap])
    data.mocap_pos[:] = positions.reshape(-1, 3)
    data.mocap_quat[:] = quaternions.reshape(-1, 4)


def add_lines(
  scene: mujoco.MjvScene, points: np.ndarray, colours: np.ndarray, widths: np.ndarray
) -> None:
  """Appends lines to a scene, up to its maximum number of geoms.

  Args:
    scene: to which the geoms are appended.
    points: ``[N, K, 3]``, metres; a path ends at the first point that is not finite.
    colours: ``[N, 4]``, 0 to 1.
    widths: ``[N]``, pixels.
  """
  finite = np.isfinite(points).all(-1)
  kind, no_pose = mujoco.mjtGeom.mjGEOM_LINE, (np.zeros(3), np.zeros(3), np.eye(3).ravel())
  for path, ok, colour, width in zip(points, finite, colours, widths, strict=True):
    for start, end, drawn in zip(path[:-1], path[1:], ok[:-1] & ok[1:], strict=True):
      if not drawn or scene.ngeom >= scene.maxgeom:
        break
      geom = scene.geoms[scene.ngeom]
      mujoco.mjv_initGeom(geom, kind, *no_pose, np.float32(colour))
      mujoco.mjv_connector(geom, kind, width, start, end)
      scene.ngeom += 1


def main(arguments: list[str]) -> None:
  """Reads a model, poses and optional lines from files and writes the frames to a file.

  The process ends when its caller closes the standard input.
  """
  threading.Thread(target=lambda: os.read(0, 1) or os._exit(1), daemon=True).start()
  model_path, poses_path, frames_path, width, height, camera, *lines_path = arguments
  model = mujoco.MjModel.from_binary_path(model_path)
  view = camera if camera != "-" else (0 if model.ncam else -1)
  lines = dict(np.load(lines_path[0])) if lines_path else None
  size = int(width), int(height)
  np.save(frames_path, render(model, np.load(poses_path), *size, view, lines))


if __name__ == "__main__":
  main(sys.argv[1:])
