"""Tests Stochlite against published constants, MuJoCo and independent formulas."""

import functools

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from mbrl_jax.envs import make_env
from mbrl_jax.envs.robotics import gait
from mbrl_jax.envs.robotics.leg import foot_position_3d, joint_angles_3d
from mbrl_jax.envs.robotics.terrain import ramp_height
from mbrl_jax.envs.tasks.legged import stochlite

LEGS = ("front_left", "front_right", "back_left", "back_right")
ASIDE = np.float32([0.0755, -0.0755, 0.0755, -0.0755])
LINKS = (0.146, 0.172)
HIPS = np.float32([[0.167, 0.096], [0.167, -0.096], [-0.167, 0.096], [-0.167, -0.096]])


@pytest.fixture(scope="module")
def env():
  return make_env("stochlite", "mujoco")


@pytest.fixture(scope="module")
def reset(env):
  return jax.jit(env.reset)


@functools.cache
def player(env):
  """Returns a compiled function of actions ``[T, 15]``: last state, transitions, states."""

  def body(state, action):
    state, transition = env.step(state, action, jax.random.key(0))
    return state, (transition, state.physics)

  return jax.jit(lambda actions: jax.lax.scan(body, env.reset(jax.random.key(0)), actions))


def play(env, actions):
  state, (transitions, states) = player(env)(jnp.asarray(actions, jnp.float32))
  return state, jax.tree.map(np.asarray, transitions), states


def steady(steps, **parts):
  """Returns actions ``[steps, 15]`` with some entries set."""
  action = np.zeros(15)
  for index, value in parts.items():
    action[int(index[1:])] = value
  return np.tile(action, (steps, 1))


def test_model_matches_the_published_robot(env):
  model = env.model
  assert model.body_mass.sum() == pytest.approx(3.23, abs=1e-4)
  for part, mass in (("abduction", 0.037), ("thigh", 0.32), ("shank", 0.055)):
    for leg in LEGS:
      assert model.body(f"{leg}_{part}").mass[0] == pytest.approx(mass)
  assert model.body("torso").mass[0] == pytest.approx(1.582)
  np.testing.assert_allclose(model.actuator_forcerange, [[-7, 7]] * 12)
  np.testing.assert_allclose(model.actuator_gainprm[:, 0], 400)
  np.testing.assert_allclose(model.actuator_biasprm[:, :3], [[0, -400, -10]] * 12)
  joints = [f"{leg}_{joint}" for leg in LEGS for joint in ("abduction", "hip", "knee")]
  assert [model.joint(i + 1).name for i in range(12)] == joints
  assert [model.actuator(i).name for i in range(12)] == joints
  spec = env.spec
  assert (spec.obs_dim, spec.action_dim, spec.episode_length) == (12, 15, 1000)
  assert spec.dt == pytest.approx(0.01)


def test_foot_positions_equal_mujoco_and_angles_invert_them(env):
  data, rng = mujoco.MjData(env.model), np.random.default_rng(0)
  forward = jax.jit(jax.vmap(lambda q, a: foot_position_3d(q, LINKS, a)))
  back = jax.jit(jax.vmap(lambda p, a: joint_angles_3d(p, LINKS, a)))
  for _ in range(10):
    angles = np.float32(rng.uniform([-0.6, -0.6, -2.2], [0.6, 1.4, -0.3], (4, 3)))
    data.qpos[:3], data.qpos[3:7], data.qpos[7:] = 0, [1, 0, 0, 0], angles.ravel()
    mujoco.mj_kinematics(env.model, data)
    feet = np.stack([data.site(f"{leg}_foot").xpos for leg in LEGS])
    feet -= np.concatenate([HIPS, np.full((4, 1), -0.005)], 1)
    np.testing.assert_allclose(forward(angles, ASIDE), feet, atol=1e-5)
    np.testing.assert_allclose(back(feet, ASIDE), angles, atol=2e-3)


def test_the_trot_alternates_diagonal_pairs():
  """Stance moves back at the commanded velocity; a swing lands half a step ahead."""
  trot, dt = stochlite._TROT, 0.01
  velocity, shifts = jnp.array([0.3, -0.1, 0.0]), jnp.tile(jnp.array([0.02, 0, 0.01]), (4, 1))

  def body(carry, _):
    phase = gait.advance_phase(trot, carry[0], dt)
    feet = gait.move_feet(trot, carry[1], phase, shifts, velocity, dt)
    return (phase, feet), (feet, gait.on_the_ground(phase))

  start = (jnp.zeros(()), jnp.zeros((4, 3)).at[:, 2].set(-0.25))
  feet, stands = (np.asarray(x) for x in jax.lax.scan(body, start, length=160)[1])
  np.testing.assert_array_equal(stands[:, 0], stands[:, 3])
  np.testing.assert_array_equal(stands[:, 1], stands[:, 2])
  assert abs(stands.sum(1) - 2).max() == 0  # at every moment two feet stand
  cycle = feet[-40:]  # 0.4 s
  np.testing.assert_allclose(cycle[..., 0].max(0), 0.02 + 0.3 * 0.2 / 2, atol=4e-3)
  np.testing.assert_allclose(cycle[..., 1].min(0), -0.1 * 0.2 / 2, atol=2e-3)
  np.testing.assert_allclose(cycle[..., 2].max(0), -0.25 + 0.01 + 0.08, atol=2e-3)
  standing = stands[1:] & stands[:-1]
  moves = np.diff(feet, axis=0)[standing]
  np.testing.assert_allclose(moves, np.tile([-0.003, 0.001, 0], (len(moves), 1)), atol=1e-5)


def test_a_yaw_rate_moves_the_feet_about_the_centre():
  trot, phase = stochlite._TROT, jnp.array(0.5)
  feet = jnp.zeros((4, 3)).at[:, 2].set(-0.25)
  move = jax.jit(functools.partial(gait.move_feet, trot, dt=0.01))
  moved = move(feet, phase, jnp.zeros((4, 3)), jnp.array([0.0, 0, 1]))
  np.testing.assert_allclose(moved[1], [-0.01 * 0.096, -0.01 * 0.167, -0.25], atol=1e-6)


def test_feet_stay_within_reach():
  trot, far = stochlite._TROT, jnp.full((4, 3), -1.0)
  move = jax.jit(functools.partial(gait.move_feet, trot, dt=0.01))
  moved = move(jnp.zeros((4, 3)), jnp.array(4.0), far, jnp.ones(3))
  longest = 0.9 * np.hypot(0.0755, 0.318)
  np.testing.assert_allclose(np.linalg.norm(moved, axis=1), longest, rtol=1e-5)


def test_the_nominal_action_trots_for_five_seconds(env):
  _, transitions, states = play(env, steady(500))
  obs = transitions.next_obs
  assert not transitions.terminated.any() and np.isfinite(obs).all()
  assert np.abs(obs[:, 1:3]).max() < 0.1 and np.abs(obs[:, 6:8]).max() < 0.1
  assert (obs[:, 0].min() > 0.23) and (obs[:, 0].max() < 0.27)
  data, heights = mujoco.MjData(env.model), []
  for qpos in np.asarray(states.qpos)[100:140]:  # one cycle
    data.qpos[:] = qpos
    mujoco.mj_kinematics(env.model, data)
    heights.append([data.site(f"{leg}_foot").xpos[2] for leg in LEGS])
  assert (np.max(heights, 0) > 0.05).all() and (np.min(heights, 0) < 0.01).all()
  assert transitions.reward[100:].mean() > 30  # of 53


def test_actions_walk_and_turn(env):
  _, ahead, _ = play(env, steady(500, a12=1.0))
  assert 0.2 < ahead.next_obs[200:, 9].mean() < 0.5 and not ahead.terminated.any()
  _, turning, _ = play(env, steady(500, a14=0.5))
  assert 0.3 < turning.next_obs[200:, 5].mean() < 1.2 and not turning.terminated.any()


def test_servo_torques_are_limited_and_give_the_power(env):
  """Compares with MuJoCo's torques at states reached by random actions."""
  actions = np.random.default_rng(0).uniform(-1, 1, (500, 15))
  _, transitions, states = play(env, actions)
  data, strongest = mujoco.MjData(env.model), 0.0
  for i in range(0, 60, 5):
    data.qpos[:], data.qvel[:] = states.qpos[i], states.qvel[i]
    data.ctrl[:] = states.memory.targets[i]
    mujoco.mj_forward(env.model, data)
    strongest = max(strongest, np.abs(data.actuator_force).max())
    power = np.abs(data.actuator_force * data.qvel[6:]).sum()
    assert transitions.next_obs[i, 11] == pytest.approx(power, rel=1e-2, abs=0.5)
  assert strongest == pytest.approx(7)  # saturated


def test_observation_describes_the_state(env, reset):
  physics = reset(jax.random.key(0)).physics
  quaternion, rotation = np.zeros(4), np.zeros(9)
  mujoco.mju_euler2Quat(quaternion, np.array([0.2, -0.3, 0.7]), "XYZ")
  mujoco.mju_quat2Mat(rotation, quaternion)
  qvel = np.arange(18, dtype=np.float32) / 10
  qpos = physics.qpos.at[:7].set(np.float32([3, 2, 0.4, *quaternion]))
  physics = physics._replace(qpos=qpos, qvel=jnp.asarray(qvel))
  physics = physics._replace(memory=jax.jit(stochlite.start)(jax.random.key(0), physics))
  obs = np.asarray(jax.jit(env.observe)(physics))
  np.testing.assert_allclose(obs[:3], [0.4, 0.2, -0.3], atol=1e-5)
  np.testing.assert_allclose(obs[3:6], rotation.reshape(3, 3) @ qvel[3:6], atol=1e-5)
  # feet as they stand make a plane that leans as the torso does, but for the noise of the reset
  np.testing.assert_allclose(obs[6:8], [0.2, -0.3], atol=0.05)
  np.testing.assert_allclose(obs[8:11], [3, qvel[0], qvel[1]], atol=1e-6)
  np.testing.assert_array_equal(env.spec.encode(obs), obs[:8])


def published_reward(obs, height, velocity):
  z, roll, pitch, p, q, r, ground_roll, ground_pitch, _, vx, vy, power = np.float64(obs)
  return (
    np.exp(-45 * (roll - ground_roll) ** 2)
    + np.exp(-45 * (pitch - ground_pitch) ** 2)
    + 20 * np.exp(-100 * abs(height - z))
    + 15 * np.exp(-5 * ((vx - velocity[0]) ** 2 + (vy - velocity[1]) ** 2))
    + 10 * np.exp(-((r - velocity[2]) ** 2))
    + 3 * np.exp(-100 * p**2)
    + 3 * np.exp(-100 * q**2)
    - power / 20
  )


@pytest.mark.parametrize("velocity", [(0, 0, 0), (0.3, -0.1, 1.0)])
def test_reward_is_the_published_formula(velocity):
  spec, rng = make_env("stochlite", "mujoco", velocity=velocity).spec, np.random.default_rng(0)
  reward = jax.jit(spec.reward)
  for _ in range(20):
    obs = rng.normal(size=12) * [0.02, 0.1, 0.1, 0.1, 0.1, 1, 0.1, 0.1, 1, 0.3, 0.3, 30]
    obs[0], obs[11] = obs[0] + 0.25, obs[11] + 60
    got = reward(np.zeros(12), np.zeros(15), np.float32(obs))
    assert got == pytest.approx(published_reward(obs, 0.25, velocity), abs=1e-3)
  best = np.float32([0.25, 0, 0, 0, 0, velocity[2], 0, 0, 0, *velocity[:2], 0])
  assert reward(best, np.zeros(15), best) == pytest.approx(53)


@pytest.mark.parametrize(
  ("index", "inside", "outside"),
  [(0, 0.699, 0.701), (1, 0.52, 0.53), (1, -0.52, -0.53), (2, 0.61, 0.62), (2, -0.61, -0.62)],
)
def test_termination(env, index, inside, outside):
  reward, terminated = jax.jit(env.spec.reward), jax.jit(env.spec.terminated)
  for value, ends in ((inside, False), (outside, True), (np.nan, True)):
    after = np.float32([0.25, *np.zeros(11)])
    after[index] = value
    assert terminated(after, np.zeros(15), after) == ends
    got = reward(after, np.zeros(15), after)
    assert np.isnan(got) if np.isnan(value) else (got == 0) == ends


def test_lifting_the_legs_of_one_side_makes_it_fall(env):
  _, transitions, _ = play(env, steady(500, a8=1.0, a10=1.0, a9=-0.5, a11=-0.5))
  assert transitions.terminated.any()


def test_resets_are_standing_with_noise(reset):
  qpos, qvel = np.empty((200, 19)), np.empty((200, 18))
  for i in range(200):
    physics = reset(jax.random.key(i)).physics
    qpos[i], qvel[i] = physics.qpos, physics.qvel
  feet = np.concatenate([np.zeros((4, 1)), [[0.05], [-0.05], [0.05], [-0.05]]], 1)
  feet = jnp.asarray(np.concatenate([feet, np.full((4, 1), -0.25)], 1), jnp.float32)
  home = jax.jit(jax.vmap(lambda p, a: joint_angles_3d(p, LINKS, a)))(feet, ASIDE)
  off = qpos[:, 7:] - np.ravel(home)
  assert np.abs(off).max() <= 0.02 + 1e-6
  np.testing.assert_allclose(off.std(), 0.02 / np.sqrt(3), rtol=0.05)
  np.testing.assert_allclose(qpos[:, :7], [[0, 0, 0.256, 1, 0, 0, 0]] * 200, atol=1e-7)
  assert not qvel.any()


@pytest.mark.parametrize(("terrain", "sign"), [("upslope", 1), ("downslope", -1)])
def test_ramps_have_the_height_of_the_reward(terrain, sign):
  env = make_env("stochlite", "mujoco", terrain=terrain, slope=13.0)
  data, incline, geom = mujoco.MjData(env.model), sign * np.deg2rad(13), np.zeros(1, np.int32)
  mujoco.mj_forward(env.model, data)
  reward = jax.jit(env.spec.reward)
  for x in (-0.4, 0.45, 0.55, 1.2, 1.95, 2.05, 3.0):
    down = np.array([0.0, 0.0, -1.0])
    fall = mujoco.mj_ray(
      env.model, data, np.array([x, 0.8, 2.0]), down, None, 1, -1, geom, None
    )
    ground = ramp_height(jnp.array(x), incline)
    assert 2 - fall == pytest.approx(float(ground), abs=1e-4)
    height = float(ground) + 0.25 / (np.cos(incline) if 0.5 < x < 2 else 1)
    obs = np.float32([height, *np.zeros(7), x, *np.zeros(3)])
    assert reward(obs, np.zeros(15), obs) == pytest.approx(53, abs=2e-3)
  start = jax.jit(env.reset)(jax.random.key(0)).obs
  assert start[0] == pytest.approx(0.256 + (1.5 * np.tan(np.deg2rad(13)) if sign < 0 else 0))


@pytest.mark.parametrize(
  ("terrain", "back", "steps", "pitch"),
  [
    ("downslope", 0.0, 300, np.deg2rad(9)),
    pytest.param("rough", 0.0, 300, None, marks=pytest.mark.slow),
    pytest.param("upslope", -0.4, 400, np.deg2rad(-9), marks=pytest.mark.slow),
  ],
)
def test_walks_on_other_terrain(terrain, back, steps, pitch):
  """Downhill and over blocks with the nominal gait, uphill with the feet 4 cm further back."""
  env = make_env("stochlite", "mujoco", terrain=terrain)
  actions = steady(steps, a12=1.0, a0=back, a1=back, a2=back, a3=back)
  _, transitions, _ = play(env, actions)
  obs = transitions.next_obs
  assert np.isfinite(obs).all() and not transitions.terminated.any() and obs[-1, 8] > 0.5
  if pitch is not None:
    np.testing.assert_allclose(obs[-60:, 7].mean(), pitch, atol=0.05)  # of the ramp


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"terrain": "stairs"}, r"terrain='stairs'.*'flat'"),
    ({"slope": 20.0}, r"slope=20.0 must lie between 5.0 and 13.0"),
    ({"velocity": (1.0, 0.0, 0.0)}, r"velocity=\(1.0, 0.0, 0.0\) must be within \[0.5, 0.25"),
    ({"velocity": (0.0, float("nan"), 0.0)}, r"velocity=\(0.0, nan, 0.0\) must be within"),
    ({"velocity": (0.0, 0.0)}, r"velocity=.* must be three numbers"),
  ],
)
def test_rejects_invalid_arguments(options, message):
  with pytest.raises(ValueError, match=message):
    make_env("stochlite", "mujoco", **options)
