"""Line drawings of MuJoCo models."""

import mujoco
import numpy as np

from mbrl_jax.envs import make_env
from mbrl_jax.runtime.rendering import drawing

ARM = """
<mujoco><worldbody>
  <geom type="plane" size="1 1 .1"/>
  <body><joint axis="0 -1 0"/><geom type="capsule" fromto="1 0 0 0 0 0" size=".05"/></body>
</worldbody></mujoco>"""


def test_segments_of_a_model_are_seen_from_the_side():
  model = mujoco.MjModel.from_xml_string(ARM)
  segments = drawing.model_segments(model)
  np.testing.assert_allclose(segments([0.0]), [[[0, 0], [1, 0]]], atol=1e-6)
  np.testing.assert_allclose(segments([np.pi / 2]), [[[0, 0], [0, 1]]], atol=1e-6)


def test_spheres_and_visible_sites_are_dots():
  model = mujoco.MjModel.from_xml_string("""
    <mujoco><asset><material name="glass" rgba="1 1 1 0"/></asset><worldbody>
      <geom pos="1 0 2" size=".3"/>
      <geom pos="7 0 0" size=".3" group="3"/> <geom pos="8 0 0" size=".3" rgba="0 0 0 0"/>
      <geom pos="9 0 0" size=".3" material="glass"/>
      <site pos="-1 0 1"/> <site pos="9 0 0" rgba="0 0 0 0"/>
    </worldbody></mujoco>""")
  dots = drawing.model_segments(model)(np.zeros(0))
  np.testing.assert_allclose(dots.mean(1), [[1, 2], [-1, 1]], atol=1e-6)
  frames = drawing.draw(lambda pose: dots, np.zeros((1, 0)), 90, 60)
  assert len(np.unique(frames[0].reshape(-1, 3), axis=0)) > 2


def test_a_pose_that_is_not_finite_gives_an_empty_frame():
  frames = drawing.draw(
    make_env("cartpole", "mujoco").segments, np.array([[0, 0], [np.nan, 0.0]]), 64, 48
  )
  assert len(np.unique(frames[0].reshape(-1, 3), axis=0)) > 1
  assert len(np.unique(frames[1].reshape(-1, 3), axis=0)) == 1
