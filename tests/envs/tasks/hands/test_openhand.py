"""Tests the Model Q hand against published constants, statics and MuJoCo."""

import copy

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from mbrl_jax.envs import make_env
from mbrl_jax.envs.tasks.hands.openhand import VALVES

FINGERS = ("left", "right", "coupled_left", "coupled_right")
JOINTS = ["base"] + [
  f"{finger}_{link}" for finger in FINGERS for link in ("proximal", "distal")
]


@pytest.fixture(scope="module")
def valve():
  return make_env("openhand_valve", "mujoco")


@pytest.fixture(scope="module")
def gaiting():
  return make_env("openhand_gaiting", "mujoco")


def play(env, actions):
  """Returns transitions and last state of actions ``[T, 4]`` from a reset."""

  def body(state, action):
    return env.step(state, action, jax.random.key(0))

  run = jax.jit(lambda state, actions: jax.lax.scan(body, state, actions))
  state, transitions = run(env.reset(jax.random.key(0)), jnp.asarray(actions, jnp.float32))
  return jax.tree.map(np.asarray, transitions), state


def squeeze_and_twist(seconds, pull=10.0, period=0.4):
  """Returns actions that grasp with the coupled fingers, turn, release and turn back."""
  part = np.arange(round(seconds * 120)) / 120 % period / period
  zero = np.zeros_like(part)
  base = np.where((part >= 0.25) & (part < 0.75), -10, 10)  # about the palm's z: downward
  return np.stack([base, zero, zero, np.where(part < 0.5, pull, 0)], 1)


def test_model_matches_the_published_hand(valve):
  model = valve.model
  for joint in JOINTS[1:]:
    end = 2.0 if joint.endswith("proximal") else 1.24
    np.testing.assert_allclose(model.joint(joint).range, [0, end])
    mass = 0.03 if joint.endswith("proximal") else 0.015
    assert model.body(joint).mass[0] == pytest.approx(mass)
  np.testing.assert_allclose(model.joint("base").range, np.deg2rad([-15, 15]), atol=1e-4)
  np.testing.assert_allclose(model.actuator_ctrlrange, [[-10, 10], [0, 10], [0, 10], [0, 20]])
  data = mujoco.MjData(model)
  mujoco.mj_forward(model, data)
  palm = data.body("palm").xpos
  np.testing.assert_allclose(palm, [0, 0, 0.225 - 0.0723], atol=1e-6)
  knuckles = {name: data.body(f"{name}_proximal").xpos - palm for name in FINGERS}
  np.testing.assert_allclose(knuckles["left"], [0, 0.038, -0.014], atol=1e-9)
  np.testing.assert_allclose(knuckles["coupled_right"], [-0.022, 0, -0.014], atol=1e-9)
  link = data.body("left_distal").xpos - data.body("left_proximal").xpos
  np.testing.assert_allclose(link, [0, 0.062, 0.0008], atol=1e-9)  # flat, outward
  assert valve.spec.dt == pytest.approx(1 / 120) and valve.spec.episode_length == 1000


def test_tendons_pull_as_published(valve):
  """Compares MuJoCo's torques at given pulls and pose with 0.05 (R' f - E q)."""
  model, data = valve.model, mujoco.MjData(valve.model)
  rng = np.random.default_rng(0)
  angles = {joint: rng.uniform(0, 1) for joint in JOINTS[1:]}
  pulls = {"left": 3.0, "right": 5.0, "coupled": 7.0}
  for joint, angle in angles.items():
    data.joint(joint).qpos = angle
  data.ctrl[:] = [2.0, *pulls.values()]
  mujoco.mj_forward(model, data)
  torques = data.qfrc_actuator + data.qfrc_spring
  for joint in JOINTS[1:]:
    pull, proximal = pulls[joint.split("_")[0]], joint.endswith("proximal")
    want = 0.05 * (
      pull - 6.25 * angles[joint] if proximal else 2 * pull - 17.86 * angles[joint]
    )
    assert torques[model.joint(joint).dofadr[0]] == pytest.approx(want, abs=1e-5)
  assert data.qfrc_actuator[model.joint("base").dofadr[0]] == pytest.approx(0.1)


def test_a_pull_of_ten_closes_a_finger(valve):
  """q = f r / E: 1.6 and 1.12 rad, up to gravity, without collisions."""
  model = copy.copy(valve.model)
  model.geom_conaffinity[:] = 0
  data = mujoco.MjData(model)
  data.ctrl[:] = [0, 10, 5, 0]
  mujoco.mj_step(model, data, 960)
  for joint, want in (("left_proximal", 1.6), ("left_distal", 1.12), ("right_distal", 0.56)):
    assert data.joint(joint).qpos[0] == pytest.approx(want, abs=0.03)
  assert data.joint("coupled_left_proximal").qpos[0] < 0.08


def test_observations_are_named_joints_in_the_published_order(valve, gaiting):
  actions = np.random.default_rng(0).uniform([-10, 0, 0, 0], [10, 10, 10, 20], (8, 4))
  for env in (valve, gaiting):
    model, data = env.model, mujoco.MjData(env.model)
    transitions, state = play(env, actions)
    data.qpos[:], data.qvel[:] = state.physics.qpos, state.physics.qvel
    mujoco.mj_forward(model, data)
    obs = transitions.next_obs[-1]
    np.testing.assert_allclose(obs[:9], [data.joint(j).qpos[0] for j in JOINTS])
    if env is valve:
      assert obs.shape == (10,) and obs[9] == data.joint("valve").qvel[0]
      continue
    apple, velocity = data.body("apple"), np.zeros(6)
    body = mujoco.mjtObj.mjOBJ_BODY
    mujoco.mj_objectVelocity(model, data, body, apple.id, velocity, 0)
    np.testing.assert_allclose(obs[9:12], apple.xpos, atol=1e-6)
    np.testing.assert_allclose(obs[12:16], np.roll(apple.xquat, -1), atol=1e-6)
    np.testing.assert_allclose(obs[16:], velocity[:3], rtol=1e-3, atol=1e-4)


def test_spin_is_about_the_world_z_axis(gaiting):
  """For an apple on its side, whose x axis is up."""
  physics = gaiting.reset(jax.random.key(0)).physics
  half = np.sqrt(0.5)
  qpos = physics.qpos.at[12:].set(jnp.array([half, 0, -half, 0]))
  qvel = physics.qvel.at[12:].set(jnp.array([2.0, 0.0, 0.5]))
  obs = gaiting.observe(physics._replace(qpos=qpos, qvel=qvel))
  np.testing.assert_allclose(obs[16:], [-0.5, 0, 2], atol=1e-6)
  assert gaiting.spec.reward(obs, jnp.zeros(4), obs) == pytest.approx(2.0)


def test_reward_and_termination(valve, gaiting):
  obs = jnp.arange(10.0)
  assert valve.spec.reward(-obs, jnp.ones(4), obs) == 9
  assert not valve.spec.terminated(obs, jnp.ones(4), -obs)
  apple = jnp.zeros(19)
  for height, ends in ((0.07, False), (0.0372, False), (0.037, True), (np.nan, True)):
    assert gaiting.spec.terminated(apple, jnp.ones(4), apple.at[11].set(height)) == ends


def test_resets(valve, gaiting):
  obs = valve.reset(jax.random.key(1)).obs
  np.testing.assert_array_equal(obs, np.zeros(10))
  obs = gaiting.reset(jax.random.key(1)).obs
  fingers = np.tile([np.pi / 3, np.pi / 6], 4)
  np.testing.assert_allclose(obs, [0, *fingers, 0, 0, 0.07, 0, 0, 0, 1, 0, 0, 0], atol=1e-6)
  data = mujoco.MjData(gaiting.model)
  data.qpos[:] = gaiting.reset(jax.random.key(1)).physics.qpos
  mujoco.mj_forward(gaiting.model, data)
  assert data.ncon == 0  # the fingers surround the apple and do not hold it


@pytest.mark.parametrize("kind", VALVES)
def test_squeezing_and_twisting_turns_each_valve(kind):
  env = make_env("openhand_valve", "mujoco", valve=kind)
  transitions, state = play(env, squeeze_and_twist(2.0))
  turned = float(state.physics.qpos[9])
  assert turned > 1.0  # rad; alone it stays where it is
  assert transitions.reward.sum() / 120 == pytest.approx(turned, rel=0.15)
  assert np.isfinite(transitions.next_obs).all() and not transitions.terminated.any()


def test_an_open_hand_does_not_turn_the_valve(valve):
  transitions, _ = play(valve, squeeze_and_twist(1.0, pull=0.0))
  assert np.abs(transitions.reward).max() < 1e-6


def test_a_grasp_holds_the_apple_and_an_open_hand_drops_it(gaiting):
  held, _ = play(gaiting, np.tile([0.0, 9, 9, 9], (120, 1)))
  assert not held.terminated.any() and held.next_obs[-1, 11] > 0.05
  dropped, _ = play(gaiting, np.zeros((60, 4)))
  first = int(np.argmax(dropped.terminated))
  fall = (0.07 - 0.0371) * 2 / 9.81
  assert first == pytest.approx(np.sqrt(fall) * 120, abs=2)


def test_rejects_an_unknown_valve():
  with pytest.raises(ValueError, match=r"valve='square'.*'tri'"):
    make_env("openhand_valve", "mujoco", valve="square")
