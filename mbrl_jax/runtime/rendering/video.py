"""Renders rollouts to frames and writes frames to video files.

A task with a MuJoCo model is rendered with OpenGL off screen (EGL, else OSMesa) in a
process of its own, so that this process' environment stays as it is and a broken
driver cannot end it. Where neither works, and for analytic tasks, a plain drawing
takes its place. No window is ever opened.
"""

from __future__ import annotations

import errno
import functools
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mbrl_jax.ops import validate
from mbrl_jax.runtime.rendering import drawing
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
"""Of video files; without ffmpeg all become ``.gif``."""
_BACKENDS = ("egl", "osmesa")
_GIF_FPS = 20  # GIF counts time in 1/100 s, and every frame costs kilobytes
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
  traces: PlanOverlay | None = None,
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
    traces: candidate plans to draw over each frame, with a legend.

  Returns:
    Frames ``[T, height, width, 3]`` (uint8).

  Raises:
    ValueError: the poses are no matrix, captions or traces are not as many, a size is
      not positive, the task can not be drawn or lacks the point to trace.
  """
  poses = np.asarray(poses, np.float64)
  if poses.ndim != 2:
    raise ValueError(f"poses must have shape [T, Q], got {poses.shape}.")
  if captions is not None and len(captions) != len(poses):
    raise ValueError(f"captions must be {len(poses)}, one for each pose, got {len(captions)}.")
  if traces is not None and len(traces.poses) != len(poses):
    raise ValueError(
      f"traces must be {len(poses)}, one for each pose, got {len(traces.poses)}."
    )
  validate.positive(width=width, height=height)
  model = getattr(env, "model", None)
  frames = _render_gl(model, poses, width, height, camera, traces)
  if frames is None:
    frames = _draw_plane(env, poses, width, height, traces)
  if title or captions:
    for i, frame in enumerate(frames):
      frame[...] = _annotate(frame, title or "", captions[i] if captions else "", traces)
  return frames


def check_drawable(env: Any) -> None:
  """Checks that there is something to draw an environment by.

  Raises:
    ValueError: it has neither a MuJoCo model nor segments.
  """
  if getattr(env, "segments", None) is None and getattr(env, "model", None) is None:
    raise ValueError(f"env {env.spec.name!r} has neither a model nor segments to draw.")


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
    OSError: the file cannot be written; nothing is left of it.
  """
  path = Path(path)
  validate.positive(fps=fps, frames=len(frames))
  path.parent.mkdir(parents=True, exist_ok=True)
  if path.suffix == ".gif" or not shutil.which("ffmpeg"):
    return _write_gif(path.with_suffix(".gif"), frames, fps)
  import mediapy

  try:
    # ffmpeg takes "-x.mp4" for an option and "a:b/x.mp4" for a protocol, but no absolute path.
    mediapy.write_video(path.absolute(), frames, fps=fps)
  except BaseException as error:
    path.unlink(missing_ok=True)  # half a film is none
    if isinstance(error, RuntimeError):  # which quotes all that ffmpeg has said
      raise OSError(errno.EIO, "ffmpeg cannot write it", str(path)) from error
    raise
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
  model: mujoco.MjModel | None,
  poses: np.ndarray,
  width: int,
  height: int,
  camera: str | None,
  traces: PlanOverlay | None,
) -> np.ndarray | None:
  if model is None:
    return None
  lines = traces and _lines(model_point(model, traces.name), traces)
  backend = gl_backend()
  return _run_worker(backend, model, poses, width, height, camera, lines) if backend else None


def _lines(point: Callable[[np.ndarray], np.ndarray], traces: PlanOverlay) -> drawing.Lines:
  """Turns plans into the lines that draw them."""
  coloured = np.stack([colours(returns) for returns in traces.returns])
  return drawing.Lines(point(traces.poses), coloured, widths(traces.poses.shape[1]))


def _draw_plane(
  env: Any, poses: np.ndarray, width: int, height: int, traces: PlanOverlay | None
) -> np.ndarray:
  """Draws ``env`` without OpenGL; the path of a named point needs the model's own view."""
  check_drawable(env)
  segments, model = getattr(env, "segments", None), getattr(env, "model", None)
  if segments is not None and (model is None or traces is None or traces.name is None):
    point = segment_point(segments)
  else:
    segments, view = drawing.model_segments(model), drawing.side_view(model)
    point = lambda poses: model_point(model, traces.name)(poses) @ view
  lines = None if traces is None else _lines(point, traces)
  return drawing.draw(segments, poses, width, height, lines)


def _run_worker(
  backend: str,
  model: mujoco.MjModel,
  poses: np.ndarray,
  width: int,
  height: int,
  camera: str | None,
  lines: drawing.Lines | None = None,
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
    if lines is not None:
      command.append(str(Path(folder) / "traces.npz"))
      np.savez(command[-1], **lines._asdict())
    ours, theirs = os.pipe()
    try:
      subprocess.run(
        command,
        stdin=ours,
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
    finally:
      os.close(ours)
      os.close(theirs)


def _annotate(
  frame: np.ndarray, title: str, caption: str, traces: PlanOverlay | None = None
) -> np.ndarray:
  image = Image.fromarray(frame)
  pen = ImageDraw.Draw(image)
  size = max(10, frame.shape[0] // 22)
  font = ImageFont.load_default(size)
  style = {"font": font, "fill": "#1d2733", "stroke_width": 2, "stroke_fill": "#ffffff"}
  pen.text((size // 2, size // 2), title, **style)
  pen.text((size // 2, frame.shape[0] - size // 2), caption, anchor="ld", **style)
  if traces is not None:
    _legend(pen, frame.shape[1], size, style)
  return np.asarray(image)


def _legend(pen: ImageDraw.ImageDraw, width: int, size: int, style: dict[str, Any]) -> None:
  """Says in the upper right corner what the lines are."""
  entries = (("plan", PLAN, 4), ("good candidate", BEST, 2), ("bad candidate", WORST, 2))
  for row, (label, colour, thickness) in enumerate(entries):
    top = size // 2 + row * (size * 5 // 4)
    pen.text((width - 3 * size, top), label, anchor="ra", **style)
    line = [(width - 5 * size // 2, top + size // 2), (width - size // 2, top + size // 2)]
    pen.line(line, fill=tuple(round(255 * c) for c in colour[:3]), width=thickness)


def _write_gif(path: Path, frames: np.ndarray, fps: float) -> Path:
  """Writes a GIF of at most ``_GIF_FPS`` frames a second with one palette for all."""
  stride = max(1, round(fps / _GIF_FPS))
  frames = np.asarray(frames, np.uint8)[::stride]
  images = [Image.fromarray(frame) for frame in frames]
  # Colours of thin lines that one frame lacks are in another.
  some = frames[:: max(1, len(frames) // _PALETTE_FRAMES)][:_PALETTE_FRAMES]
  palette = Image.fromarray(np.concatenate(some)).quantize(256)
  first, *others = (
    image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images
  )
  duration = 10 * max(2, round(100 * stride / fps))  # milliseconds
  settings = {"save_all": True, "append_images": others, "duration": duration, "loop": 0}
  write_atomic(path, lambda file: first.save(file, "GIF", **settings))
  return path
