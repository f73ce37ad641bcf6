"""Tests Reacher3D against the published model and formulas."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from swing import swing

from mbrl_jax.envs import make_env
from mbrl_jax.envs.tasks.pets import reacher7

# The published model after ``swing``, run in MuJoCo 4.0.
PUBLISHED = [
  0.19569, 0.18365, -3.48154, -1.73969, 4.70396, -0.52814, 3.60752,
  1.41953, 0.84610, -4.78148, -0.47718, 11.12078, 4.87322, -10.29745,
]  # fmt: skip
TIP = jax.jit(reacher7.tip)


@pytest.fixture(scope="module")
def env():
  return make_env("reacher7", physics="mujoco")


def site(env, angles):
  data = mujoco.MjData(env.model)
  data.qpos[:] = angles
  mujoco.mj_kinematics(env.model, data)
  return data.site("ee").xpos.copy(), data


def published_tip(angles):
  """Computes the tip by the published code, valid for elbow angles below 0."""
  pan, lift, upper, elbow, fore, wrist, _ = np.float64(angles)
  along = np.array(
    [np.cos(lift) * np.cos(pan), np.cos(lift) * np.sin(pan), -np.sin(lift)], np.float64
  )
  aside = np.array([-np.sin(pan), np.cos(pan), 0.0])
  end = [0, -0.188, 0] + 0.1 * np.array([np.cos(pan), np.sin(pan), 0]) + 0.4 * along
  for length, hinge, roll in ((0.321, elbow, upper), (0.16828, wrist, fore)):
    up = np.cross(along, aside)
    bent = np.cos(hinge) * along + np.sin(hinge) * np.sin(roll) * aside
    bent = bent - np.sin(hinge) * np.cos(roll) * up
    normal = np.cross(bent, along)
    along, aside = bent, normal / np.linalg.norm(normal)
    end = end + length * along
  return end


def angles_below(count, top, seed=0):
  angles = np.random.default_rng(seed).uniform(-2, 2, (count, 7))
  angles[:, 3] = -np.abs(angles[:, 3]) + top
  angles[:, 5] = -np.abs(angles[:, 5])
  return np.float32(angles)


def test_tip_equals_the_simulator(env):
  for angles in angles_below(50, top=1.0):  # also elbows bent the wrong way
    expected, data = site(env, angles)
    np.testing.assert_allclose(TIP(angles), expected, atol=1e-6)
    fingers = [data.body(f"{side}_finger").xpos for side in ("left", "right")]
    palm = np.mean(fingers, 0)
    np.testing.assert_allclose(np.linalg.norm(expected - palm), 0.09137, atol=1e-9)


def test_tip_equals_the_published_formula_below_zero():
  for angles in angles_below(50, top=-0.01, seed=1):
    np.testing.assert_allclose(TIP(angles), published_tip(angles), atol=1e-5)


def test_tip_where_the_published_formula_fails():
  straight = TIP(jnp.zeros(7))
  np.testing.assert_allclose(straight, [0.98928, -0.188, 0], atol=1e-6)
  rolled = jnp.float32([0, 0, 1.2, 0, 0, -1.0, 0])  # a roll that a straight elbow passes on
  assert TIP(rolled)[1] + 0.188 == pytest.approx(-0.16828 * np.sin(1.2) * np.sin(1.0), abs=1e-6)
  assert np.isfinite(jax.jit(jax.jacobian(reacher7.tip))(jnp.zeros(7))).all()


def test_reward_against_the_simulator(env):
  state = env.reset(jax.random.key(0))
  step = jax.jit(env.step)
  state, _ = step(state, jnp.full(7, 15.0), jax.random.key(0))
  state, t = step(state, jnp.linspace(-20, 20, 7), jax.random.key(0))
  goal = np.asarray(state.physics.memory)
  expected = -np.sum((site(env, state.physics.qpos)[0] - goal) ** 2)
  expected -= 0.01 * np.sum(np.linspace(-20, 20, 7) ** 2)
  assert float(t.reward) == pytest.approx(expected, rel=1e-5)


def test_reset_stretches_the_arm_and_draws_goals(env):
  obs = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 2000)).obs
  assert obs.shape == (2000, 17)
  np.testing.assert_array_equal(obs[:, jnp.r_[0:7, 10:17]], 0)
  np.testing.assert_allclose(obs[:, 7:10].mean(0), [0, 0.25, 0], atol=0.01)
  np.testing.assert_allclose(obs[:, 7:10].std(0), 0.1, rtol=0.06)


def test_goal_stays_is_observed_and_drawn(env):
  start = env.reset(jax.random.key(3))
  state, t = env.step(start, jnp.full(7, 5.0), jax.random.key(0))
  np.testing.assert_array_equal(t.next_obs[7:10], start.obs[7:10])
  np.testing.assert_array_equal(t.next_obs[:7], state.physics.qpos)
  np.testing.assert_array_equal(t.next_obs[10:], state.physics.qvel)
  np.testing.assert_array_equal(
    env.pose(state), [*state.physics.qpos, *t.obs[7:10], 1, 0, 0, 0]
  )


def test_constants_of_the_task(env):
  spec = env.spec
  assert (spec.dt, spec.episode_length, spec.obs_dim) == (0.02, 150, 17)
  np.testing.assert_array_equal(spec.action_high, np.full(7, 20))
  np.testing.assert_array_equal(spec.action_low, np.full(7, -20))


def test_motion_equals_the_published_model(env):
  np.testing.assert_allclose(swing(env, np.zeros(7)), PUBLISHED, atol=2e-5)
