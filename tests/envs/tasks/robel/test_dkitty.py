"""Tests D'Kitty against published constants and independent formulas."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from mbrl_jax.envs import make_env
from mbrl_jax.envs.tasks.robel import dkitty

LEGS = ("front_right", "front_left", "back_left", "back_right")


@pytest.fixture(scope="module")
def env():
  return make_env("dkitty_orient", "mujoco")


@pytest.fixture(scope="module")
def step(env):
  return jax.jit(env.step)


@pytest.fixture(scope="module")
def start(env):
  return jax.jit(env.reset)(jax.random.key(0))


def states(n):
  """Returns observations of tilted and rotated robots."""
  rng = np.random.default_rng(0)
  obs = rng.normal(size=(n, 49)).astype(np.float32)
  obs[:, 3:5] = rng.uniform(-0.45, 0.45, (n, 2))
  obs[:, 5] = rng.uniform(-5, 5, n)
  obs[:, 48] = rng.uniform(2, 4.2, n)
  return obs


def attitude(env, obs):
  """Returns MuJoCo's rotation matrix of the torso."""
  data = mujoco.MjData(env.model)
  data.qpos[:] = obs[:18]
  mujoco.mj_kinematics(env.model, data)
  return data.body("torso").xmat.reshape(3, 3)


def error(env, obs):
  """Computes the angle to the target by dot product and arccos, as ROBEL."""
  ahead = attitude(env, obs)[:2, 1]
  target = np.array([np.cos(obs[48] + np.pi / 2), np.sin(obs[48] + np.pi / 2)]) - obs[:2]
  cosine = ahead @ target / np.linalg.norm(ahead) / np.linalg.norm(target)
  return np.arccos(np.clip(cosine, -1, 1)), target / np.linalg.norm(target)


def test_model(env):
  model = env.model
  mass = [
    model.body(leg + part).mass[0] for leg in LEGS for part in ("_hip", "_knee", "_ankle")
  ]
  np.testing.assert_allclose(mass, [0.118, 0.118, 0.04] * 4, atol=1e-9)
  assert model.body("torso").mass[0] == pytest.approx(0.376 + 4 * 0.086 + 0.01)
  np.testing.assert_array_equal(
    model.jnt_limited[:6], [0, 0, 0, 0, 1, 0]
  )  # the pitch, to 80 deg
  np.testing.assert_array_equal(model.dof_damping, [0] * 6 + [1] * 12)
  np.testing.assert_allclose(model.dof_armature, [0] * 6 + [0.001] * 12)
  np.testing.assert_allclose(model.actuator_gainprm[:, 0], 5)
  data = mujoco.MjData(model)
  mujoco.mj_forward(model, data)
  for leg, place in zip(LEGS, [(1, 1), (-1, 1), (-1, -1), (1, -1)], strict=True):
    foot = data.site(leg + "_foot").xpos
    want = [0.09 * place[0], 0.122 * place[1], 0.3 - 0.0965 - 0.0945 - 0.101]
    np.testing.assert_allclose(foot, want, atol=1e-9)


def test_knees_bend_backwards_and_hips_swing_out(env):
  data = mujoco.MjData(env.model)
  for leg in LEGS:
    data.joint(leg + "_knee").qpos = 1.0
    data.joint(leg + "_hip").qpos = -0.4 if "right" in leg else 0.4
  mujoco.mj_forward(env.model, data)
  for leg, (x, y) in zip(LEGS, [(1, 1), (-1, 1), (-1, -1), (1, -1)], strict=True):
    foot = data.site(leg + "_foot").xpos
    assert x * foot[0] > 0.1 and foot[1] < 0.122 * y - 0.05


def test_spec(env):
  spec = env.spec
  assert (spec.obs_dim, spec.action_dim, spec.episode_length) == (49, 12, 80)
  assert spec.dt == pytest.approx(0.1)
  np.testing.assert_array_equal([spec.action_low, spec.action_high], [[-1] * 12, [1] * 12])


def test_encode_is_what_robel_observes(env):
  encode = jax.jit(env.spec.encode)
  for obs in states(10):
    matrix, (_, target) = attitude(env, obs), error(env, obs)
    want = [*obs[:48], matrix[2, 2], *matrix[:2, 1], *target]
    assert len(want) == 53
    np.testing.assert_allclose(encode(obs), want, atol=1e-5)


def test_reward_is_the_published_formula(env):
  reward, terminated = jax.jit(env.spec.reward), jax.jit(env.spec.terminated)
  cases = states(40)
  cases[:20, 3:5] *= 0.2  # steady
  cases[::2, :2] *= 0.05  # near the origin
  cases[::4, 5] = cases[::4, 48] + np.linspace(-0.3, 0.3, 10)
  seen = set()
  for obs in cases:
    up, (angle, _) = attitude(env, obs)[2, 2], error(env, obs)
    small, big = angle < 0.26 or up > 0.96, angle < 0.087 and up > 0.96
    seen.add((small, big, up < 0.9))
    want = 2 * (up - 0.9) / 0.1 - 500 * (up < 0.9) - 4 * angle
    want += 5 * small + 10 * big - 4 * np.linalg.norm(obs[:2])
    assert reward(obs + 1, np.ones(12, np.float32), obs) == pytest.approx(want, abs=2e-3)
    assert terminated(obs + 1, np.ones(12, np.float32), obs) == (up < 0.9)
    assert bool(dkitty.success(obs)) == big
    assert dkitty.points(obs) == pytest.approx(1 - angle / np.pi, abs=1e-3)
  assert len(seen) >= 4


def test_success_is_the_largest_bonus_in_the_last_step(env):
  assert env.spec.success == (dkitty.success, 1, 1)
  assert not dkitty.success(np.full(49, np.nan, np.float32))


def test_the_reward_gradient_is_finite_at_the_target_and_opposite(env):
  for target in (0.0, np.pi):
    obs = jnp.zeros(49).at[48].set(target)
    slope = jax.grad(lambda o: env.spec.reward(o, jnp.zeros(12), o))(obs)
    assert np.isfinite(slope).all()


def test_nan_observations_terminate(env):
  obs = np.full(49, np.nan, np.float32)
  assert env.spec.terminated(obs, np.zeros(12), obs)


def test_resets(env, start):
  np.testing.assert_array_equal(start.obs[:48], 0)
  assert start.obs[48] == pytest.approx(np.pi)
  varied = make_env("dkitty_orient", "mujoco", variant="random")
  obs = np.asarray(
    jax.jit(jax.vmap(varied.reset))(jax.random.split(jax.random.key(0), 1000)).obs
  )
  np.testing.assert_array_equal(np.delete(obs, [5, 48], 1), 0)
  drawn = obs[:, [5, 48]] - [0, np.pi]
  assert (np.abs(drawn) <= np.pi / 3 + 1e-6).all()
  np.testing.assert_allclose(drawn.std(0), np.pi / 3 / np.sqrt(3), rtol=0.1)
  assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.1


def test_targets_have_a_speed_limit(env, start):
  low, high = np.array([(-0.5, 0.279), (0, np.pi / 2), (-2, 0)] * 4).T
  low[[3, 6]], high[[3, 6]] = -0.279, 0.5
  for action in (-1.0, 0.2, 1.0):
    want = (low + high) / 2 + (high - low) / 2 * action
    got = env.command(start.physics, jnp.full(12, action))
    np.testing.assert_allclose(got, np.clip(want, -0.1 * np.pi, 0.1 * np.pi), atol=1e-5)


def test_stands_still_on_stretched_legs(env, step, start):
  """Actions that command angle 0 keep its pose, with its weight on its feet."""
  low, high = dkitty.RANGES.T
  stand = jnp.asarray(-(low + high) / (high - low))
  state = start
  for _ in range(20):
    state, t = step(state, stand, jax.random.key(0))
  assert not t.terminated
  np.testing.assert_allclose(t.next_obs[:6], 0, atol=0.02)
  np.testing.assert_allclose(t.next_obs[18:36], 0, atol=0.02)
  np.testing.assert_allclose(t.next_obs[36:48], stand, atol=1e-6)
  data = mujoco.MjData(env.model)
  data.qpos[:], data.qvel[:] = state.physics.qpos, state.physics.qvel
  mujoco.mj_forward(env.model, data)
  force, lift = np.zeros(6), 0.0
  for i in range(data.ncon):
    mujoco.mj_contactForce(env.model, data, i, force)
    lift += force[0]
  assert lift == pytest.approx(9.81 * env.model.body_mass.sum(), rel=0.1)


def test_yaw_is_unlimited(env):
  """Half a turn, the limit of ROBEL's robot, is not a limit here."""
  high = jnp.zeros(18).at[2].set(0.5).at[5].set(3.1)
  physics = env.physics.init(high, jnp.zeros(18).at[5].set(2.0))
  after = jax.jit(env.physics.step)(physics, jnp.zeros(12))
  assert after.qpos[5] > 3.2


def test_unknown_variants():
  with pytest.raises(ValueError, match=r"variant='hard'.*'random'"):
    make_env("dkitty_orient", variant="hard")
