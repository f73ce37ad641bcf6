"""Tests the two-link leg against published constants, MuJoCo and independent formulas."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from mbrl_jax.envs import make_env
from mbrl_jax.envs.robotics.leg import foot_position, joint_angles
from mbrl_jax.envs.tasks.legged.leg2r import DT, desired_foot

LENGTHS = (0.297, 0.28)


@pytest.fixture(scope="module")
def env():
  return make_env("leg2r", "mujoco")


@pytest.fixture(scope="module")
def step(env):
  return jax.jit(env.step)


def path(phase):
  """Computes the published path by cases."""
  rises = np.where(phase < np.pi, 0.0, 0.1 * np.sin(2 * np.pi - phase))
  return np.stack([0.16 * np.cos(phase), -0.44 + rises], -1)


def loop_angles(lengths, points=360):
  """Returns angles ``[points, 2]`` along the path."""
  phases = np.linspace(0, 2 * np.pi, points, endpoint=False)
  feet = jnp.asarray(path(phases), jnp.float32)
  return np.float64(jax.vmap(lambda p: joint_angles(p, lengths))(feet)), feet


def static_torques(env, angles):
  data, torques = mujoco.MjData(env.model), []
  for q in angles:
    data.qpos[:], data.qvel[:], data.qacc[:] = q, 0, 0
    mujoco.mj_inverse(env.model, data)
    torques.append(data.qfrc_inverse.copy())
  return np.abs(torques).max(0)


def test_model_matches_the_published_robot(env):
  model = env.model
  thigh, shank = model.body("thigh"), model.body("shank")
  np.testing.assert_allclose(
    [*thigh.mass, *shank.mass, *model.body("stand").mass], [2.4957, 0.37918, 0], atol=1e-5
  )
  np.testing.assert_allclose(thigh.ipos, [0, 0, -0.055], atol=1e-5)
  np.testing.assert_allclose(shank.ipos, [0, 0, -0.118], atol=1e-5)
  np.testing.assert_allclose(model.jnt_range, [[-1.57, 3.14], [-3.14, 0]])
  np.testing.assert_allclose(model.actuator_gear[:, 0], [6, 8.18])
  np.testing.assert_allclose(model.actuator_ctrlrange, [[-0.4, 0.4]] * 2)


@pytest.mark.parametrize(("shank", "hip"), [(0.28, 1.97), (0.347, 2.18)])
def test_the_path_is_reached_and_held_against_gravity(shank, hip):
  env = make_env("leg2r", "mujoco", shank=shank)
  angles, feet = loop_angles((0.297, shank))
  reached = jax.vmap(lambda q: foot_position(q, (0.297, shank)))(jnp.float32(angles))
  np.testing.assert_allclose(reached, feet, atol=1e-6)
  low, high = env.model.jnt_range.T
  assert (angles > low).all() and (angles < high).all()
  torques = static_torques(env, angles)
  np.testing.assert_allclose(torques, [hip, 0.40], atol=0.006)
  assert (torques < [0.4 * 6, 0.4 * 8.18]).all()
  assert static_torques(env, [[np.pi / 2, 0.0]])[0] > 0.4 * 6  # held out level, it falls


def test_a_longer_shank_keeps_mass_and_centre_of_mass():
  model = make_env("leg2r", "mujoco", shank=0.347).model
  assert model.body("shank").mass[0] == pytest.approx(0.37918, abs=1e-5)
  np.testing.assert_allclose(model.body("shank").ipos, [0, 0, -0.118], atol=1e-5)
  np.testing.assert_allclose(model.site("foot").pos, [0, 0, -0.347])


def test_foot_position_equals_mujoco(env):
  data, rng = mujoco.MjData(env.model), np.random.default_rng(0)
  for angles in rng.uniform([-1.5, -3], [3, -0.1], (20, 2)):
    data.qpos[:] = angles
    mujoco.mj_forward(env.model, data)
    foot = data.site("foot").xpos - data.body("stand").xpos
    np.testing.assert_allclose(foot_position(angles, LENGTHS), foot[[0, 2]], atol=1e-6)
    np.testing.assert_allclose(joint_angles(foot[[0, 2]], LENGTHS), angles, atol=2e-3)


def test_a_point_out_of_reach_gives_finite_angles_and_derivatives():
  jacobian = jax.jit(jax.jacobian(lambda p: joint_angles(p, LENGTHS)))
  for point in ([0.0, -2.0], [0.0, -0.577], [0.0, -1e-3]):
    assert np.isfinite(joint_angles(jnp.array(point), LENGTHS)).all()
    assert np.isfinite(jacobian(jnp.array(point))).all()


def test_spec_and_observation(env, step):
  spec = env.spec
  assert (spec.obs_dim, spec.action_dim, spec.episode_length) == (8, 2, 1000)
  assert spec.dt == pytest.approx(0.008)
  np.testing.assert_array_equal([spec.action_low, spec.action_high], [[-1, -1], [1, 1]])
  first, second = jnp.array([1.0, -0.5]), jnp.array([0.2, 3.0])
  state = env.reset(jax.random.key(0))
  np.testing.assert_array_equal(np.asarray(state.obs)[[0, 3, 4, 5, 6, 7]], np.zeros(6))
  state, _ = step(state, first, jax.random.key(0))
  np.testing.assert_allclose(state.obs[5:], [0.2, -0.1, 1], rtol=1e-6)
  np.testing.assert_allclose(state.obs[0], 2 * np.pi * 0.008, rtol=1e-6)
  state, _ = step(state, second, jax.random.key(0))  # 3 is clipped to 1
  np.testing.assert_allclose(state.obs[5:], [0.4 * 0.6, 0.4 * 0.25, 2], rtol=1e-6)
  np.testing.assert_array_equal(spec.encode(state.obs), state.obs[:7])
  np.testing.assert_array_equal(state.obs[1:5], [*state.physics.qpos, *state.physics.qvel])


def test_observed_torques_drive_the_motion(env, step):
  """Compares two steps with MuJoCo under the averaged torques."""
  state, data = env.reset(jax.random.key(3)), mujoco.MjData(env.model)
  data.qpos[:], last = state.physics.qpos, np.zeros(2)
  for action in (np.array([0.5, 0.3]), np.array([-0.2, 0.9])):
    state, _ = step(state, action, jax.random.key(0))
    data.ctrl[:] = 0.4 * (action + last) / 2
    mujoco.mj_step(env.model, data, 4)
    last = action
  np.testing.assert_allclose(state.obs[1:5], [*data.qpos, *data.qvel], atol=1e-4)


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_reward_and_termination_follow_the_published_formulas(scale):
  spec, rng = make_env("leg2r", "mujoco", scale=scale).spec, np.random.default_rng(0)
  reward, terminated = jax.jit(spec.reward), jax.jit(spec.terminated)
  for steps in (449, 450, 700):
    for _ in range(5):
      phase, angles = rng.uniform(0, 2 * np.pi), rng.uniform([0.2, -1.9], [1.1, -1.2])
      turned = angles.sum()
      foot = -0.297 * np.array([np.sin(angles[0]), np.cos(angles[0])])
      foot -= 0.28 * np.array([np.sin(turned), np.cos(turned)])
      distance = np.linalg.norm(foot - path(phase))
      obs = np.float32([phase, *angles, 9, 9, 9, 9, steps])
      unused = np.full(8, np.float32(7))
      got = reward(unused, unused[:2], obs)
      assert got == pytest.approx(np.exp(-scale * distance), abs=1e-5)
      assert terminated(unused, unused[:2], obs) == (distance > 0.1 and steps >= 450)


def test_the_reward_gradient_is_finite_on_the_path(env):
  angles = joint_angles(desired_foot(jnp.array(1.0)), LENGTHS)
  obs = jnp.array([1.0, *angles, 0, 0, 0, 0, 0])
  gradient = jax.jit(jax.grad(lambda o: env.spec.reward(o, jnp.zeros(2), o)))(obs)
  assert np.isfinite(gradient).all()
  assert env.spec.reward(obs, jnp.zeros(2), obs) == pytest.approx(1.0, abs=1e-5)


def test_resets_are_near_the_start_of_the_path(env):
  states = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 2000))
  home = np.asarray(joint_angles(jnp.array([0.16, -0.44]), LENGTHS))
  off = np.asarray(states.physics.qpos) - home
  assert np.abs(off).max() <= 0.02 + 1e-6
  np.testing.assert_allclose(off.std(0), 0.02 / np.sqrt(3), rtol=0.05)
  assert not states.physics.qvel.any()


def test_phase_wraps_without_a_jump_in_the_target(env):
  before = jnp.array([6.26, 1, -1, 0, 0, 0, 0, 5], jnp.float32)
  after = before.at[0].set(6.26 + 0.0503 - 2 * np.pi)
  target = env.spec.target(before, after)
  assert target[0] == pytest.approx(0.0503, abs=1e-5)
  np.testing.assert_allclose(env.spec.decode(before, target), after, atol=1e-5)


def test_pd_control_along_the_inverse_kinematics_tracks(env):
  """To 2 cm on average within the torque limits, with the largest errors at corners."""

  def act(obs):
    phase = obs[0] + 1.5 * 2 * np.pi * DT  # what the action leads to
    angles, speeds = jax.jvp(
      lambda p: joint_angles(desired_foot(p), LENGTHS), (phase,), (jnp.float32(2 * np.pi),)
    )
    torques = np.float32([120, 60]) * (angles - obs[1:3])
    torques += np.float32([4, 1.5]) * (speeds - obs[3:5])
    return jnp.clip(torques / np.float32([2.4, 3.272]), -1, 1)

  def body(state, _):
    state, transition = env.step(state, act(state.obs), jax.random.key(0))
    return state, transition

  transitions = jax.lax.scan(body, env.reset(jax.random.key(0)), length=500)[1]
  obs = np.asarray(transitions.next_obs[125:])  # after one cycle
  feet = np.asarray(jax.vmap(lambda q: foot_position(q, LENGTHS))(obs[:, 1:3]))
  errors = np.linalg.norm(feet - path(obs[:, 0]), axis=-1)
  assert errors.mean() < 0.02 and errors.max() < 0.06
  assert np.abs(obs[:, 5:7]).max() <= 0.4 + 1e-6
  assert not transitions.terminated.any()


def test_an_idle_leg_terminates_only_after_the_grace_steps(env):
  def body(state, _):
    state, transition = env.step(state, jnp.zeros(2), jax.random.key(0))
    return state, transition.terminated

  ended = np.asarray(jax.lax.scan(body, env.reset(jax.random.key(0)), length=600)[1])
  assert not ended[:449].any() and ended[449:].any()


def test_goal_is_drawn_at_the_desired_foot_position(env, step):
  state = env.reset(jax.random.key(0))
  for _ in range(5):
    state, _ = step(state, jnp.zeros(2), jax.random.key(0))
  pose = np.asarray(env.pose(state))
  x, z = path(float(state.obs[0]))
  np.testing.assert_allclose(pose, [*state.physics.qpos, x, 0, 0.6 + z, 1, 0, 0, 0], atol=1e-6)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"shank": 0.3}, r"shank=0.3 .*0.347"),
    ({"frequency": 0.0}, r"frequency=0.0 must be positive"),
    ({"scale": -1.0}, r"scale=-1.0 must be positive"),
  ],
)
def test_rejects_invalid_arguments(options, message):
  with pytest.raises(ValueError, match=message):
    make_env("leg2r", "mujoco", **options)
