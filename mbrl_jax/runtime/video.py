"""Renders rollouts to frames and writes frames to video files.

A task with a MuJoCo model is rendered with OpenGL off screen (EGL, else OSMesa) in a
process of its own, so that this process' environment stays as it is and a broken
driver cannot end it. Where neither works, and for analytic tasks, a plain drawing
takes its place. No window is ever opened.
"""

from __future__ import annotations

import functools
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mbrl_jax.ops import validate
from mbrl_jax.runtime import drawing

_BACKENDS = ("egl", "osmesa")
_GIF_FPS = 20  # GIF counts time in 1/100 s, and every frame costs kilobytes


def render(
  env: Any,
  poses: np.ndarray,
  *,
  width: int = 640,
  height: int = 360,
  title: str | None = None,
  captions: Sequence[str] | None = None,
  camera: str | None = None,
) -> np.ndarray:
  """Renders poses of a task.

  Args:
    env: an environment; its ``model`` or ``segments`` say how to draw it.
    poses: what ``env.pose`` returned at each step, ``[T, Q]``.
    width: pixels.
    height: pixels.
    title: text in the upper left corner of all frames.
    captions: one text for each frame, in the lower left corner.
    camera: name of a camera of the model; its first one by default.

  Returns:
    Frames ``[T, height, width, 3]`` (uint8).

  Raises:
    ValueError: the poses are no matrix, the captions are not as many, a size is
      not positive, or the task can not be drawn.
  """
  poses = np.asarray(poses, np.float64)
  if poses.ndim != 2:
    raise ValueError(f"poses must have shape [T, Q], got {poses.shape}.")
  if captions is not None and len(captions) != len(poses):
    raise ValueError(f"captions must be {len(poses)}, one for each pose, got {len(captions)}.")
  validate.positive(width=width, height=height)
  frames = _render_gl(getattr(env, "model", None), poses, width, height, camera)
  if frames is None:
    frames = drawing.draw(_segments(env), poses, width, height)
  if title or captions:
    for i, frame in enumerate(frames):
      frame[...] = _annotate(frame, title or "", captions[i] if captions else "")
  return frames


def write_video(path: str | os.PathLike[str], frames: np.ndarray, fps: float) -> Path:
  """Writes frames to a video file: MP4 where ffmpeg is installed, else an animated GIF.

  Args:
    path: file to write; its suffix is replaced by ``.gif`` without ffmpeg.
    frames: ``[T, height, width, 3]`` (uint8).
    fps: frames a second.

  Returns:
    The path really written.

  Raises:
    ValueError: no frames, or ``fps`` is not positive.
  """
  path = Path(path)
  validate.positive(fps=fps, frames=len(frames))
  path.parent.mkdir(parents=True, exist_ok=True)
  if path.suffix == ".gif" or not shutil.which("ffmpeg"):
    return _write_gif(path.with_suffix(".gif"), frames, fps)
  import mediapy

  mediapy.write_video(path, frames, fps=fps)
  return path


@functools.cache
def gl_backend() -> str | None:
  """Finds the OpenGL backend that works here by rendering one frame, once.

  ``MUJOCO_GL`` is honoured where it names a backend without windows; any value that
  switches rendering off leaves ``None``.
  """
  wished = os.environ.get("MUJOCO_GL", "").lower()
  if wished in ("off", "disable", "disabled", "0", "false", "no"):
    return None
  model = mujoco.MjModel.from_xml_string("<mujoco/>")
  for backend in (wished,) if wished in _BACKENDS else _BACKENDS:
    if _run_worker(backend, model, np.zeros((1, 0)), 16, 16, None) is not None:
      return backend
  return None


def _render_gl(
  model: mujoco.MjModel | None, poses: np.ndarray, width: int, height: int, camera: str | None
) -> np.ndarray | None:
  if model is None:
    return None
  backend = gl_backend()
  return _run_worker(backend, model, poses, width, height, camera) if backend else None


def _run_worker(
  backend: str,
  model: mujoco.MjModel,
  poses: np.ndarray,
  width: int,
  height: int,
  camera: str | None,
) -> np.ndarray | None:
  """Renders in a process of its own; ``None`` if that fails for whatever reason."""
  program = Path(__file__).with_name("gl_worker.py")
  environment = {**os.environ, "MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend}
  with tempfile.TemporaryDirectory() as folder:
    files = [str(Path(folder) / name) for name in ("model.mjb", "poses.npy", "frames.npy")]
    mujoco.mj_saveModel(model, files[0])
    np.save(files[1], poses)
    # -P: the folder of this file must not shadow modules of the standard library
    command = [
      sys.executable,
      "-P",
      str(program),
      *files,
      str(width),
      str(height),
      camera or "-",
    ]
    try:
      subprocess.run(
        command,
        env=environment,
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=60 + len(poses),
      )
      return np.load(files[2])
    except (OSError, subprocess.SubprocessError) as error:
      reason = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()
      logging.getLogger(__name__).info("No rendering with %s: %s %s", backend, error, reason)
      return None


def _segments(env: Any) -> Any:
  """Returns the function that draws ``env`` in the plane."""
  segments = getattr(env, "segments", None)
  if segments is not None:
    return segments
  if getattr(env, "model", None) is None:
    raise ValueError(f"env {env.spec.name!r} has neither a model nor segments to draw.")
  return drawing.model_segments(env.model)


def _annotate(frame: np.ndarray, title: str, caption: str) -> np.ndarray:
  image = Image.fromarray(frame)
  pen = ImageDraw.Draw(image)
  size = max(10, frame.shape[0] // 22)
  font = ImageFont.load_default(size)
  style = {"font": font, "fill": "#1d2733", "stroke_width": 2, "stroke_fill": "#ffffff"}
  pen.text((size // 2, size // 2), title, **style)
  pen.text((size // 2, frame.shape[0] - size // 2), caption, anchor="ld", **style)
  return np.asarray(image)


def _write_gif(path: Path, frames: np.ndarray, fps: float) -> Path:
  """Writes a GIF of at most ``_GIF_FPS`` frames a second with one palette for all."""
  stride = max(1, round(fps / _GIF_FPS))
  images = [Image.fromarray(frame) for frame in np.asarray(frames, np.uint8)[::stride]]
  palette = images[len(images) // 2].quantize(128)
  first, *others = (
    image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images
  )
  duration = 10 * max(2, round(100 * stride / fps))  # milliseconds
  first.save(path, save_all=True, append_images=others, duration=duration, loop=0)
  return path
