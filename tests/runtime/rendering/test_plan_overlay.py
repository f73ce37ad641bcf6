"""Paths of candidate plans: reference point, colours, and drawing into frames."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from mbrl_jax.envs import make_env
from mbrl_jax.runtime.rendering import gl_worker, plan_overlay, video
from mbrl_jax.runtime.rendering.plan_overlay import PlanOverlay

ARM = """
<mujoco><worldbody>
  <site name="world_model" pos="0 0 5"/>
  <body name="upper"><joint axis="0 -1 0"/>
    <geom type="capsule" fromto="0 0 0 1 0 0" size=".05" mass="1"/>
    <site name="elbow" pos="1 0 0"/>
    <body name="lower" pos="1 0 0"><joint axis="0 -1 0"/>
      <geom type="capsule" fromto="0 0 0 1 0 0" size=".05" mass="1"/>
      {tip}
    </body>
  </body>
</worldbody></mujoco>"""
RED = np.array([211, 18, 89])  # PLAN in 8 bits


TIP = '<site name="tip" pos="1 0 0"/>'
AFTER_TIP = """</body></body>
  <body name="wall" pos="3 0 0"><site pos="0 0 1"/></body>
  <body name="target" mocap="true"><site pos="0 1 0"/><body><site pos="0 2 0"/>"""


def arm(tip=TIP):
  return mujoco.MjModel.from_xml_string(ARM.format(tip=tip))


def fan(poses, count=4):
  """Makes candidates that turn away from each pose by increasing angles, from zero."""
  angle = np.linspace(0, 1, count)[:, None] * np.linspace(0, 1, 6)
  step = np.ones(poses.shape[-1])
  return poses[:, None, None] + angle[None, :, :, None] * step


def reddish(frame):
  return (np.abs(frame.astype(int) - RED).max(-1) < 40).sum()


@pytest.mark.parametrize(
  ("model", "name", "expected"),
  [
    (arm(), None, [1, 0, 1]),
    (arm(tip=""), None, [1, 0, 0.5]),  # centre of mass of the last body
    (arm(tip=TIP + AFTER_TIP), None, [1, 0, 1]),  # neither a fixed nor a mocap body
    (arm(), "elbow", [1, 0, 0]),
    (arm(), "upper", [0.5, 0, 0]),
    (arm(), "world_model", [0, 0, 5]),
  ],
)
def test_a_point_of_a_model_is_tracked(model, name, expected):
  point = plan_overlay.model_point(model, name)
  poses = np.array([[[0.0, np.pi / 2]], [[np.nan, 0.0]]])
  points = point(poses)
  assert points.shape == (2, 1, 3)
  np.testing.assert_allclose(points[0, 0], expected, atol=1e-6)
  assert np.isnan(points[1, 0]).all()


def test_an_unknown_point_is_refused():
  with pytest.raises(ValueError, match=r"trace='tipp' is not known\. Did you mean 'tip'"):
    plan_overlay.model_point(arm(), "tipp")


def test_the_end_of_the_last_segment_is_tracked():
  point = plan_overlay.segment_point(make_env("pendulum").segments)
  np.testing.assert_allclose(point(np.array([[0.0], [np.pi]])), [[0, 1], [0, -1]], atol=1e-6)


def test_better_candidates_are_greener():
  coloured = plan_overlay.colours(np.array([0.0, -5.0, 3.0, np.nan, 1.0]))
  assert coloured.shape == (5, 4) and tuple(coloured[0]) == plan_overlay.PLAN
  np.testing.assert_allclose(coloured[2], plan_overlay.BEST)
  np.testing.assert_allclose(coloured[3], plan_overlay.WORST)
  assert coloured[1][3] < coloured[4][3] < coloured[2][3]
  assert plan_overlay.colours(np.zeros(1)).shape == (1, 4)


@pytest.mark.parametrize("name", [None, "tip"])
def test_an_overlay_is_drawn_into_the_frames(name, monkeypatch):
  monkeypatch.setattr(video, "gl_backend", lambda: None)
  env = make_env("pendulum") if name is None else make_env("cartpole", "mujoco")
  poses = np.full((2, 1 if name is None else 2), 0.3)
  overlay = PlanOverlay(fan(poses)[:, ::-1], np.zeros((2, 4)), name)
  plain = video.render(env, poses, width=320, height=180)
  overlaid = video.render(env, poses, width=320, height=180, overlay=overlay)
  assert reddish(plain[0]) == 0 and reddish(overlaid[0]) > 30
  with pytest.raises(ValueError, match="overlay must have 1 frames, one for each pose, got 2"):
    video.render(env, poses[:1], overlay=overlay)


def test_an_overlay_is_rendered_with_gl():
  if video.gl_backend() is None:
    pytest.skip("no OpenGL on this machine")
  env, poses = make_env("cartpole", "mujoco"), np.array([[0.0, 2.0]])
  overlay = PlanOverlay(fan(poses)[:, ::-1], np.zeros((1, 4)))
  plain = video.render(env, poses, width=160, height=90)
  overlaid = video.render(env, poses, width=160, height=90, overlay=overlay)
  assert (np.abs(plain.astype(int) - overlaid).max(-1) > 30).sum() > 50


def test_lines_are_added_up_to_the_maximum_of_a_scene():
  model = arm()
  scene = mujoco.MjvScene(model, maxgeom=5)
  points = np.zeros((2, 4, 3))
  points[0, 2] = np.nan  # this path ends after one segment
  gl_worker.add_lines(scene, points, np.ones((2, 4)), np.ones(2))
  assert scene.ngeom == 4
  assert scene.geoms[0].type == mujoco.mjtGeom.mjGEOM_LINE
  gl_worker.add_lines(scene, points, np.ones((2, 4)), np.ones(2))
  assert scene.ngeom == 5
