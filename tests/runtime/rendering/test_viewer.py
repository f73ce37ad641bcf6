"""The interactive window, on a virtual screen."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys

import pytest

from mbrl_jax.runtime.rendering import viewer

PROGRAM = """
import time
import mujoco, numpy as np
from mbrl_jax.runtime.rendering.drawing import Lines
from mbrl_jax.runtime.rendering.viewer import Viewer, check_screen

check_screen()
model = mujoco.MjModel.from_xml_string(
  '<mujoco><worldbody><camera pos="0 -2 0" xyaxes="1 0 0 0 0 1"/><body><joint axis="0 1 0"/>'
  '<geom type="capsule" fromto="0 0 0 0 0 1" size=".1"/></body></worldbody></mujoco>')
lines = Lines(np.random.default_rng(0).random((3, 5, 3)), np.ones((3, 4)), np.ones(3))
with Viewer(model) as view:
  assert view.running and not view.paused
  for angle in (0.1, 0.2, 0.3):
    view.show(np.array([angle]), lines, "reward\\t0.5")
    time.sleep(0.05)
  assert view._handle.user_scn.ngeom == 3 * 4
  assert abs(view._handle.cam.azimuth - 90) < 1e-3
  view.show(np.array([0.0]), None)
  assert view._handle.user_scn.ngeom == 0
  view._key(32)
  view._key(259)
  assert view.paused and view.take_reset() and not view.take_reset()
print("shown")
"""


@contextlib.contextmanager
def screen():
  """Starts Xvfb on a free display and yields its name."""
  if shutil.which("Xvfb") is None:
    pytest.skip("no Xvfb on this machine")
  read, write = os.pipe()
  server = subprocess.Popen(
    ["Xvfb", "-displayfd", str(write), "-screen", "0", "640x480x24"],
    pass_fds=[write],
    stderr=subprocess.DEVNULL,
  )
  os.close(write)
  try:
    with os.fdopen(read) as numbers:
      yield f":{numbers.readline().strip()}"
  finally:
    server.terminate()
    server.wait()


def test_a_window_shows_poses_and_lines():
  with screen() as display:
    run = [sys.executable, "-c", PROGRAM]
    environ = os.environ | {"DISPLAY": display}
    done = subprocess.run(
      run, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
  assert done.returncode == 0 and "shown" in done.stdout, done.stderr[-2000:]


@pytest.mark.parametrize(
  ("display", "message"),
  [(None, "no screen: omit --view"), (":987", "no window can be opened")],
)
def test_no_screen_is_an_error_and_does_not_hang(display, message, monkeypatch):
  monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
  monkeypatch.delenv("DISPLAY", raising=False)
  monkeypatch.setattr("sys.platform", "linux")
  if display:
    monkeypatch.setenv("DISPLAY", display)
  with pytest.raises(RuntimeError, match=message):
    viewer.check_screen()
