"""Starts the OpenGL renderer, ``gl_worker``, in a separate process."""

from __future__ import annotations

import functools
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import mujoco
import numpy as np

from mbrl_jax.runtime.rendering.drawing import Lines

BACKENDS = ("egl", "osmesa")
"""OpenGL backends that need no window, in order of preference."""


@functools.cache
def gl_backend() -> str | None:
  """Returns the OpenGL backend that can render a test frame, ``None`` if none can.

  ``MUJOCO_GL`` selects the backend if it names one that needs no window; a value that
  disables rendering gives ``None``.
  """
  requested = os.environ.get("MUJOCO_GL", "").lower()
  if requested in ("off", "disable", "disabled", "0", "false", "no"):
    return None
  model = mujoco.MjModel.from_xml_string("<mujoco/>")
  for backend in (requested,) if requested in BACKENDS else BACKENDS:
    if run_worker(backend, model, np.zeros((1, 0)), 16, 16, None) is not None:
      return backend
  return None


def run_worker(
  backend: str,
  model: mujoco.MjModel,
  poses: np.ndarray,
  width: int,
  height: int,
  camera: str | None,
  lines: Lines | None = None,
) -> np.ndarray | None:
  """Renders in a separate process; ``None`` if that fails for any reason."""
  program = Path(__file__).with_name("gl_worker.py")
  environment = {**os.environ, "MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend}
  with tempfile.TemporaryDirectory() as folder:
    files = [str(Path(folder) / name) for name in ("model.mjb", "poses.npy", "frames.npy")]
    mujoco.mj_saveModel(model, files[0])
    np.save(files[1], poses)
    # -P: modules in the folder of this file must not shadow the standard library
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
      command.append(str(Path(folder) / "lines.npz"))
      np.savez(command[-1], **lines._asdict())
    read_end, write_end = os.pipe()
    try:
      subprocess.run(
        command,
        stdin=read_end,
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
      os.close(read_end)
      os.close(write_end)
