"""Renders poses of a MuJoCo model with OpenGL; ``video.py`` runs it as a program.

It has a process to itself because OpenGL drivers are chosen by environment variables
that must not leak into the caller, and because a broken driver may kill the process.
It imports neither jax nor mbrl_jax, so it starts in a fraction of a second.

Usage: ``python -P gl_worker.py MODEL.mjb POSES.npy FRAMES.npy WIDTH HEIGHT CAMERA``,
``CAMERA`` a name, or ``-`` for the model's first camera.
"""

from __future__ import annotations

import sys

import mujoco
import numpy as np


def render(
  model: mujoco.MjModel, poses: np.ndarray, width: int, height: int, camera: str | int
) -> np.ndarray:
  """Renders ``poses [T, nq]`` to frames ``[T, height, width, 3]`` (uint8)."""
  model.vis.global_.offwidth = max(width, model.vis.global_.offwidth)
  model.vis.global_.offheight = max(height, model.vis.global_.offheight)
  data = mujoco.MjData(model)
  frames = np.empty((len(poses), height, width, 3), np.uint8)
  with mujoco.Renderer(model, height, width) as renderer:
    for pose, frame in zip(poses, frames, strict=True):
      data.qpos[:] = pose
      mujoco.mj_forward(model, data)
      renderer.update_scene(data, camera)
      renderer.render(out=frame)
  return frames


def main(arguments: list[str]) -> None:
  """Reads model and poses from files and writes the frames to one."""
  model_path, poses_path, frames_path, width, height, camera = arguments
  model = mujoco.MjModel.from_binary_path(model_path)
  view = camera if camera != "-" else (0 if model.ncam else -1)
  np.save(frames_path, render(model, np.load(poses_path), int(width), int(height), view))


if __name__ == "__main__":
  main(sys.argv[1:])
