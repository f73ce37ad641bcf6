"""Renders rollouts to frames and writes frames to video files.

A task with a MuJoCo model is rendered off screen with OpenGL (EGL, else OSMesa) in a
separate process, so that the environment of this process does not change and a broken
driver cannot end it. If neither works, and for analytic tasks, frames are line drawings. No
window is ever opened.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mbrl_jax.ops import validate
from mbrl_jax.runtime.rendering import drawing
from mbrl_jax.runtime.rendering.gl_process import gl_backend, run_worker
from mbrl_jax.runtime.rendering.plan_overlay import (
  BEST,
  PLAN,
  WORST,
  PlanOverlay,
  colours,
  model_point,
  segment_point,
  widths,
)
from mbrl_jax.runtime.storage.files import write_atomic

SUFFIXES = (".mp4", ".gif", ".mov", ".mkv", ".avi")
"""Suffixes of video files; without ffmpeg all become ``.gif``."""
_GIF_FPS = 20  # GIF delays are in 1/100 s, and every frame takes kilobytes
_PALETTE_FRAMES = 8


def render(
  env: Any,
  poses: np.ndarray,
  *,
  width: int = 640,
  height: int = 360,
  title: str | None = None,
  captions: Sequence[str] | None = None,
  camera: str | None = None,
  overlay: PlanOverlay | None = None,
) -> np.ndarray:
  """Renders poses of a task.

  Args:
    env: an environment with a ``model`` or ``segments`` to draw.
    poses: results of ``env.pose`` at each step, ``[T, Q]``.
    width: pixels.
    height: pixels.
    title: text in the upper left corner of all frames.
    captions: one text for each frame, in the lower left corner.
    camera: name of a camera of the model; its first one by default.
    overlay: candidate plans to draw over each frame, with a legend.

  Returns:
    Frames ``[T, height, width, 3]`` (uint8).

  Raises:
    ValueError: poses that are not a matrix, captions or an overlay of another length, a size
      that is not positive, or a task that cannot be drawn or lacks the point of the overlay.

  Example:
    >>> from mbrl_jax.envs import make_env
    >>> poses = np.linspace(0.0, 3.0, 4)[:, None]
    >>> render(make_env("pendulum"), poses, width=64, height=48, title="swing").shape
    (4, 48, 64, 3)
  """
  poses = np.asarray(poses, np.float64)
  if poses.ndim != 2:
    raise ValueError(f"poses must have shape [T, Q], got {poses.shape}.")
  if captions is not None and len(captions) != len(poses):
    raise ValueError(f"{len(poses)} poses need as many captions, got {len(captions)}.")
  if overlay is not None and len(overlay.poses) != len(poses):
    raise ValueError(
      f"overlay must have {len(poses)} frames, one for each pose, got {len(overlay.poses)}."
    )
  validate.positive(width=width, height=height)
  model = getattr(env, "model", None)
  frames = _render_gl(model, poses, width, height, camera, overlay)
  if frames is None:
    frames = _draw_plane(env, poses, width, height, overlay)
  if title or captions:
    for i, frame in enumerate(frames):
      frame[...] = _annotate(frame, title or "", captions[i] if captions else "", overlay)
  return frames


def check_drawable(env: Any) -> None:
  """Checks that an environment can be drawn.

  Raises:
    ValueError: it has neither a MuJoCo model nor segments.
  """
  if getattr(env, "segments", None) is None and getattr(env, "model", None) is None:
    raise ValueError(f"env {env.spec.name!r} has neither a model nor segments to draw.")


def write_video(path: str | os.PathLike[str], frames: np.ndarray, fps: float) -> Path:
  """Writes frames to a video file: MP4 where ffmpeg is installed, else an animated GIF.

  Args:
    path: file to write; without ffmpeg its suffix is replaced by ``.gif``.
    frames: ``[T, height, width, 3]`` (uint8).
    fps: frames a second.

  Returns:
    The path that was written.

  Raises:
    ValueError: no frames, or ``fps`` is not positive.
    OSError: the file cannot be written; no partial file remains.

  Example:
    >>> import tempfile
    >>> frames = np.zeros((10, 48, 64, 3), np.uint8)
    >>> write_video(Path(tempfile.mkdtemp()) / "rollout.gif", frames, fps=20).name
    'rollout.gif'
  """
  path = Path(path)
  validate.positive(fps=fps, frames=len(frames))
  path.parent.mkdir(parents=True, exist_ok=True)
  if path.suffix == ".gif" or not shutil.which("ffmpeg"):
    return _write_gif(path.with_suffix(".gif"), frames, fps)
  import mediapy

  try:
    # Absolute, because ffmpeg reads "-x.mp4" as an option and "a:b/x.mp4" as a protocol.
    mediapy.write_video(path.absolute(), frames, fps=fps)
  except BaseException as error:
    path.unlink(missing_ok=True)  # a partial file
    if isinstance(error, RuntimeError):  # it holds the whole output of ffmpeg
      raise OSError(errno.EIO, "ffmpeg cannot write it", str(path)) from error
    raise
  return path


def _render_gl(
  model: mujoco.MjModel | None,
  poses: np.ndarray,
  width: int,
  height: int,
  camera: str | None,
  overlay: PlanOverlay | None,
) -> np.ndarray | None:
  if model is None:
    return None
  lines = None if overlay is None else _lines(model_point(model, overlay.name), overlay)
  backend = gl_backend()
  return run_worker(backend, model, poses, width, height, camera, lines) if backend else None


def _lines(point: Callable[[np.ndarray], np.ndarray], overlay: PlanOverlay) -> drawing.Lines:
  """Returns the paths of a point under the plans of an overlay."""
  coloured = np.stack([colours(returns) for returns in overlay.returns])
  return drawing.Lines(point(overlay.poses), coloured, widths(overlay.poses.shape[1]))


def _draw_plane(
  env: Any, poses: np.ndarray, width: int, height: int, overlay: PlanOverlay | None
) -> np.ndarray:
  """Draws ``env`` without OpenGL; the path of a named point needs the view of the model."""
  check_drawable(env)
  segments, model = getattr(env, "segments", None), getattr(env, "model", None)
  name = None if overlay is None else overlay.name
  if segments is not None and (model is None or name is None):
    point = segment_point(segments)
  else:
    segments, view = drawing.model_segments(model), drawing.side_view(model)
    point = lambda poses: model_point(model, name)(poses) @ view
  lines = None if overlay is None else _lines(point, overlay)
  return drawing.draw(segments, poses, width, height, lines)


def _annotate(
  frame: np.ndarray, title: str, caption: str, overlay: PlanOverlay | None = None
) -> np.ndarray:
  """Writes title, caption and the legend of an overlay into a frame."""
  image = Image.fromarray(frame)
  pen = ImageDraw.Draw(image)
  size = max(10, frame.shape[0] // 22)
  font = ImageFont.load_default(size)
  style: dict[str, Any] = {
    "font": font,
    "fill": "#1d2733",
    "stroke_width": 2,
    "stroke_fill": "#ffffff",
  }
  pen.text((size // 2, size // 2), title, **style)
  pen.text((size // 2, frame.shape[0] - size // 2), caption, anchor="ld", **style)
  if overlay is not None:
    _draw_legend(pen, frame.shape[1], size, style)
  return np.asarray(image)


def _draw_legend(
  pen: ImageDraw.ImageDraw, width: int, size: int, style: dict[str, Any]
) -> None:
  """Draws the legend of an overlay in the upper right corner."""
  entries = (("plan", PLAN, 4), ("good candidate", BEST, 2), ("bad candidate", WORST, 2))
  for row, (label, colour, thickness) in enumerate(entries):
    top = size // 2 + row * (size * 5 // 4)
    pen.text((width - 3 * size, top), label, anchor="ra", **style)
    line = [(width - 5 * size // 2, top + size // 2), (width - size // 2, top + size // 2)]
    pen.line(line, fill=tuple(round(255 * c) for c in colour[:3]), width=thickness)


def _write_gif(path: Path, frames: np.ndarray, fps: float) -> Path:
  """Writes a GIF of at most ``_GIF_FPS`` frames a second with a shared palette."""
  stride = max(1, round(fps / _GIF_FPS))
  frames = np.asarray(frames, np.uint8)[::stride]
  images = [Image.fromarray(frame) for frame in frames]
  # One frame may lack the colours of thin lines.
  sample = frames[:: max(1, len(frames) // _PALETTE_FRAMES)][:_PALETTE_FRAMES]
  palette = Image.fromarray(np.concatenate(sample)).quantize(256)
  first, *others = (
    image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images
  )
  duration = 10 * max(2, round(100 * stride / fps))  # milliseconds
  settings = {"save_all": True, "append_images": others, "duration": duration, "loop": 0}
  write_atomic(path, lambda file: first.save(file, "GIF", **settings))
  return path
