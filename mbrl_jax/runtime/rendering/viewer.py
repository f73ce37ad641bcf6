"""Shows a running task in MuJoCo's interactive window, with lines drawn into it.

The window only displays poses; the task is simulated elsewhere. Space pauses and resumes,
backspace requests a reset.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any, Self

import mujoco
import numpy as np

from mbrl_jax.runtime.rendering import gl_worker
from mbrl_jax.runtime.rendering.drawing import Lines

SPACE, BACKSPACE = 32, 259
CLOSE_TIMEOUT = 5.0
"""Seconds to wait for a window to close."""
_PROBE = """
import warnings, glfw
warnings.simplefilter("ignore")
assert glfw.init()
glfw.window_hint(glfw.VISIBLE, False)
assert glfw.create_window(64, 64, "probe", None, None)
"""


def check_screen() -> None:
  """Checks in a separate process that a window can be opened; a broken driver may crash it.

  Raises:
    RuntimeError: no screen, or no window can be opened on it.
  """
  advice = "omit --view to get a video"
  unix = sys.platform not in ("darwin", "win32")
  if unix and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    raise RuntimeError(f"no screen: {advice}")
  probe = [sys.executable, "-c", _PROBE]
  try:
    subprocess.run(probe, check=True, capture_output=True, timeout=60)
  except (OSError, subprocess.SubprocessError) as error:
    raise RuntimeError(f"no window can be opened on this screen: {advice}") from error


class Viewer:
  """Interactive window of one MuJoCo model."""

  def __init__(self, model: mujoco.MjModel):
    """Opens the window.

    Raises:
      RuntimeError: MuJoCo cannot, as on macOS, which needs ``mjpython``. Where
        ``check_screen`` raises, this may hang instead.
    """
    import mujoco.viewer  # loads GLFW

    self.paused = False
    self._reset = False
    self._model, self._data = model, mujoco.MjData(model)
    before = set(threading.enumerate())
    self._handle = mujoco.viewer.launch_passive(
      model, self._data, key_callback=self._key, show_left_ui=False, show_right_ui=False
    )
    self._threads = set(threading.enumerate()) - before
    if model.ncam == 0:
      return
    with self._handle.lock():  # start from the first camera's view
      _match_first_camera(self._handle.cam, model, self._data)

  @property
  def running(self) -> bool:
    """Whether the window is still open."""
    return self._handle.is_running()

  def take_reset(self) -> bool:
    """Returns whether a reset was requested since the last call."""
    requested, self._reset = self._reset, False
    return requested

  def show(self, pose: np.ndarray, lines: Lines | None, text: str = "") -> None:
    """Shows a pose ``[Q]``, the lines of one frame (``[N, K, 3]``) and a text."""
    if not self.running:
      return
    with self._handle.lock():
      gl_worker.set_pose(self._model, self._data, pose)
      mujoco.mj_forward(self._model, self._data)
      self._handle.user_scn.ngeom = 0
      if lines is not None:
        gl_worker.add_lines(self._handle.user_scn, *lines)
    left, _, right = text.partition("\t")
    self._handle.set_texts((None, mujoco.mjtGridPos.mjGRID_TOPLEFT, left, right))
    self._handle.sync()

  def close(self) -> None:
    """Closes the window and waits for its threads, which must end before the process."""
    self._handle.close()
    for thread in self._threads:
      thread.join(CLOSE_TIMEOUT)

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *error: object) -> None:
    self.close()

  def _key(self, code: int) -> None:
    if code == SPACE:
      self.paused = not self.paused
    elif code == BACKSPACE:
      self._reset = True


def _match_first_camera(view: Any, model: mujoco.MjModel, data: mujoco.MjData) -> None:
  """Sets the free camera to the view of the model's first camera."""
  forward = -data.cam_xmat[0].reshape(3, 3)[:, 2]
  distance = float(np.linalg.norm(model.stat.center - data.cam_xpos[0]))
  view.type = mujoco.mjtCamera.mjCAMERA_FREE
  view.lookat[:] = data.cam_xpos[0] + distance * forward
  view.distance = distance
  view.azimuth = np.degrees(np.arctan2(forward[1], forward[0]))
  view.elevation = np.degrees(np.arcsin(np.clip(forward[2], -1, 1)))
