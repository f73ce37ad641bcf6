"""Rendering with MuJoCo; needs no Gymnasium."""

import os
import subprocess
import sys
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest

from mbrl_jax.envs.adapters import to_gymnasium_env
from mbrl_jax.runtime.rendering import video

PROGRAM = """
import sys
from types import SimpleNamespace
import mujoco
import numpy as np
from mbrl_jax.envs.adapters.to_gymnasium_env import _Renderer

XML = '''
<mujoco><visual><global offwidth="{0}" offheight="{1}"/></visual><worldbody>
  <light pos="0 0 3"/><camera pos="0 -3 0" xyaxes="1 0 0 0 0 1"/>
  <body><joint type="slide" axis="1 0 0"/><geom size=".5" rgba="1 0 0 1"/></body>
</worldbody></mujoco>'''
frames = []
for size in ((60, 40), (320, 240)):
  model = mujoco.MjModel.from_xml_string(XML.format(*size))
  draw = _Renderer(SimpleNamespace(model=model), 200, 120)
  frames.append(draw(np.array([0.8])))
  assert (model.vis.global_.offwidth, model.vis.global_.offheight) == size
  draw.close()
np.save(sys.argv[1], frames)
"""


def test_images_may_be_larger_than_the_model_s_buffer(tmp_path):
  """In a process, because OpenGL is selected before MuJoCo is imported."""
  backend = video.gl_backend()
  if backend is None:
    pytest.skip("no OpenGL on this machine")
  environment = {**os.environ, "MUJOCO_GL": backend, "PYOPENGL_PLATFORM": backend}
  path = tmp_path / "frames.npy"
  command = [sys.executable, "-c", PROGRAM, str(path)]
  subprocess.run(command, env=environment, check=True, timeout=120)
  small, large = np.load(path)
  assert small.shape == (120, 200, 3)
  np.testing.assert_array_equal(small, large)
  red = (small[..., 0] > 2.0 * small[..., 1].astype(int) + 20).astype(float)
  assert red.sum() > 200, "the ball is not red"
  column = (red.sum(0) * np.arange(200)).sum() / red.sum()
  assert column > 120, "the ball is not at the right"


def test_a_missing_opengl_context_names_the_remedy(monkeypatch):
  def broken(*arguments):
    raise mujoco.FatalError("no context")

  monkeypatch.setattr(mujoco, "Renderer", broken)
  model = mujoco.MjModel.from_xml_string("<mujoco/>")
  draw = to_gymnasium_env._Renderer(SimpleNamespace(model=model), 70, 50)
  with pytest.raises(RuntimeError, match=r"70 x 50 pixels here \(no context\).*MUJOCO_GL=egl"):
    draw(np.zeros(0))
