"""Tests the 24-joint hand: its model and its servo commands."""

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from mbrl_jax.envs.asset import load_asset
from mbrl_jax.envs.physics.base import PhysicsState
from mbrl_jax.envs.robotics.hand import JOINTS, around_rest, over_range

TASKS = ("hand_pen", "baoding", "cube", "pen_spin")
NAMES = [
  *("WRJ1", "WRJ0"),
  *(f"{finger}J{i}" for finger in ("FF", "MF", "RF") for i in (3, 2, 1, 0)),
  *(f"{finger}J{i}" for finger in ("LF", "TH") for i in (4, 3, 2, 1, 0)),
]


@pytest.fixture(scope="module", params=TASKS)
def model(request):
  return load_asset(request.param)


def body_distance(model, one, other):
  data = mujoco.MjData(model)
  mujoco.mj_kinematics(model, data)
  return np.linalg.norm(data.body(one).xpos - data.body(other).xpos)


def test_joints_come_first_in_the_published_order(model):
  assert [model.joint(i).name for i in range(JOINTS)] == NAMES
  np.testing.assert_array_equal(model.jnt_qposadr[:JOINTS], np.arange(JOINTS))
  assert model.jnt_limited[:JOINTS].all()
  kp = dict.fromkeys(NAMES, 1.0) | {"WRJ1": 5.0, "WRJ0": 5.0}
  for i in range(model.nu):
    servo = model.actuator(i)
    assert model.actuator_gainprm[i, 0] == -model.actuator_biasprm[i, 1] == kp[servo.name]
    np.testing.assert_allclose(servo.ctrlrange, model.joint(servo.name).range)


def test_dimensions_equal_the_shadow_hand(model):
  assert 0.5 < model.body("wrist").subtreemass[0] < 1.0
  assert model.body("mf_proximal").pos[1] == pytest.approx(0.099)
  for finger in ("ff", "mf", "rf", "lf"):
    assert body_distance(model, f"{finger}_proximal", f"{finger}_middle") == pytest.approx(
      0.045
    )
    assert body_distance(model, f"{finger}_middle", f"{finger}_distal") == pytest.approx(0.025)
    tip = model.geom(f"{finger}_distal")
    length = tip.pos[1] + tip.size[1] + tip.size[0]
    assert length == pytest.approx(0.026, abs=1e-3)
  assert body_distance(model, "th_proximal", "th_middle") == pytest.approx(0.038)
  assert body_distance(model, "th_middle", "th_distal") == pytest.approx(0.032)


def test_the_hand_collides_with_objects_and_not_itself(model):
  first_object = model.jnt_bodyid[JOINTS]
  hand = (model.geom_bodyid > 0) & (model.geom_bodyid < first_object)
  assert (hand & (model.geom_contype > 0)).sum() == 21
  assert not model.geom_conaffinity[hand].any()
  held = model.geom_conaffinity & 1 > 0
  assert held.sum() == (2 if model.nq == 38 else 1)
  assert (model.geom_condim[held] == 4).all()


def test_bending_lifts_the_fingertips_towards_the_palm(model):
  data = mujoco.MjData(model)
  heights, thumbs = [], []
  for bend in (0.0, 0.5):
    for name in ("FFJ2", "MFJ2", "RFJ2", "LFJ2"):
      data.joint(name).qpos = bend
    data.joint("THJ0").qpos = -bend
    mujoco.mj_kinematics(model, data)
    heights.append([data.geom(f"{f}_distal").xpos[2] for f in ("ff", "mf", "rf", "lf")])
    thumbs.append(data.geom("th_distal").xpos[0])
  assert (np.diff(heights, axis=0) > 0.02).all() and thumbs[1] < thumbs[0]


def without_objects(spec):
  for key in spec.keys:
    spec.delete(key)
  for body in spec.worldbody.bodies:
    if body.name != "forearm":
      spec.delete(body)


@pytest.mark.parametrize("name", TASKS)
def test_servos_reach_their_targets_without_oscillation(name):
  """The wrist sags slightly under gravity; nothing moves after 0.6 s."""
  model = load_asset(name, without_objects)
  data = mujoco.MjData(model)
  data.ctrl[:] = model.actuator_ctrlrange.mean(1)
  mujoco.mj_step(model, data, nstep=round(0.6 / model.opt.timestep))
  error = data.qpos[model.actuator_trnid[:, 0]] - data.ctrl
  assert model.nq == JOINTS
  assert np.abs(error[:2]).max() < 0.2 and np.abs(error[2:]).max() < 0.05
  assert np.abs(data.qvel).max() < 0.05


def state_at(angles):
  return PhysicsState(jnp.float32(angles), jnp.zeros(JOINTS))


def test_over_range_scales_actions_to_the_range():
  model = load_asset("hand_pen")
  low, high = model.actuator_ctrlrange.T
  command, state = over_range(model), state_at(np.zeros(JOINTS))
  for action, expected in (
    (-1, low),
    (0, (low + high) / 2),
    (1, high),
    (0.5, low + 0.75 * (high - low)),
  ):
    ctrl = command(state, jnp.full(JOINTS, action, jnp.float32))
    np.testing.assert_allclose(ctrl, expected, atol=1e-6)


def test_around_rest_is_relative_to_the_key_and_limits_the_lead():
  model = load_asset("baoding")
  low, high = model.actuator_ctrlrange.T
  rest = model.key_qpos[0, :JOINTS]
  far = around_rest(model, share=0.9, reach=9.0)
  for action, end in ((1.0, high), (-1.0, low)):
    ctrl = far(state_at(rest), jnp.full(JOINTS, action))
    np.testing.assert_allclose(ctrl, rest + 0.9 * (end - rest), atol=1e-6)
  near = around_rest(model, share=0.9, reach=0.3)
  angles = np.random.default_rng(0).uniform(low, high)
  ctrl = near(state_at(angles), jnp.full(JOINTS, 0.7))
  wanted = rest + 0.9 * 0.7 * (high - rest)
  np.testing.assert_allclose(ctrl, np.clip(wanted, angles - 0.3, angles + 0.3), atol=1e-6)
