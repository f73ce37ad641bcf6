"""Tests the seven-joint arm against its published geometry, and another forearm."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from mbrl_jax.envs import make_env

RANGES = [
  (-2.2854, 1.7146),
  (-0.5236, 1.3963),
  (-1.5, 1.7),
  (-2.3213, 0),
  (-1.5, 1.5),
  (-1.094, 0),
  (-1.5, 1.5),
]


@pytest.fixture(scope="module")
def env():
  return make_env("reacher_7dof", "mujoco")


@pytest.fixture(scope="module")
def step(env):
  return jax.jit(env.step)


def turn(axis, angle):
  """Returns the rotation matrix about a coordinate axis."""
  i, j = (axis + 1) % 3, (axis + 2) % 3
  matrix = np.eye(3)
  matrix[[i, j], [i, j]] = np.cos(angle)
  matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
  return matrix


def finger(angles, forearm):
  """Computes the forward kinematics independently of MuJoCo."""
  pan, lift, roll, elbow, forearm_roll, *_ = angles
  at_shoulder = turn(2, pan)
  at_arm = at_shoulder @ turn(1, lift) @ turn(0, roll)
  at_forearm = at_arm @ turn(1, elbow) @ turn(0, forearm_roll)
  place = np.array([0, -0.6, 0]) + at_shoulder @ [0.1, 0, 0]
  return place + at_arm @ [0.4, 0, 0] + at_forearm @ [forearm, 0, 0]


def test_spec_and_model(env):
  spec, model = env.spec, env.model
  assert (spec.obs_dim, spec.action_dim, spec.episode_length) == (20, 7, 50)
  assert spec.dt == pytest.approx(0.04)
  np.testing.assert_array_equal(model.jnt_range, RANGES)
  np.testing.assert_array_equal(model.actuator_gear[:, 0], [20] + [10] * 6)
  np.testing.assert_array_equal(model.dof_damping, [2, 2] + [0.8] * 5)
  np.testing.assert_array_equal(model.dof_armature, np.full(7, 0.004))
  assert (
    model.opt.integrator == mujoco.mjtIntegrator.mjINT_EULER and not model.opt.gravity.any()
  )
  touching = [model.geom(i).name for i in np.flatnonzero(model.geom_contype)]
  assert touching == ["table", "hand"]


@pytest.mark.parametrize("forearm", [0.321, 0.2])
def test_observation_holds_the_finger_and_scaled_velocities(forearm):
  env = make_env("reacher_7dof", "mujoco", forearm=forearm)
  low, high = np.array(RANGES).T
  rng = np.random.default_rng(0)
  for _ in range(3):
    angles, speeds = rng.uniform(low, high), rng.normal(size=7)
    physics = env.physics.init(jnp.float32(angles), jnp.float32(speeds))
    obs = env.observe(physics._replace(memory=jnp.array([1.0, 2.0, 3.0])))
    want = [*angles, *(0.04 * speeds), *finger(angles, forearm), 1, 2, 3]
    np.testing.assert_allclose(obs, want, atol=1e-5)


def test_reward_is_charged_after_the_step(env, step):
  state = env.reset(jax.random.key(0))
  _, t = step(state, jnp.linspace(-1, 1, 7), jax.random.key(0))
  error = np.asarray(t.next_obs[14:17] - t.next_obs[17:])
  want = -np.abs(error).sum() - 5 * np.sqrt((error**2).sum())
  assert t.reward == pytest.approx(want, rel=1e-6)
  assert t.reward != pytest.approx(float(env.spec.reward(t.obs, t.action, t.obs)), abs=1e-3)


def test_reset_stretches_the_arm_and_draws_the_goal(env):
  obs = np.asarray(jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 2000)).obs)
  np.testing.assert_array_equal(obs[:, :14], 0)
  np.testing.assert_allclose(obs[:, 14:17], np.tile([0.821, -0.6, 0], (2000, 1)), atol=1e-6)
  spread = np.array([0.3, 0.2, 0.25])
  assert (np.abs(obs[:, 17:]) <= spread).all()
  np.testing.assert_allclose(obs[:, 17:].std(0), spread / np.sqrt(3), rtol=0.05)


def test_the_hand_stops_at_the_table(env, step):
  state = env.reset(jax.random.key(0))
  for _ in range(50):
    state, t = step(state, jnp.array([0.0, 1, 0, 0, 0, 0, 0]), jax.random.key(0))
  # the finger is at the wrist, 3 cm from the middle of the hand, whose radius is 8 cm
  assert -0.425 + 0.08 - 0.01 < t.next_obs[16] < -0.425 + 0.08 + 0.03 + 0.01


def test_success_is_a_finger_within_5_cm_in_the_last_step(env):
  reached, steps, last = env.spec.success
  obs = np.full(20, 9, np.float32)
  obs[14:17], obs[17:] = [0.1, 0.2, 0.3], [0.13, 0.2, 0.26]  # 5 cm
  assert (steps, last) == (1, 1)
  for shift, near in ((-1e-4, False), (1e-4, True)):
    assert reached(obs + shift * (np.arange(20) == 14)) == near
  assert not reached(np.full(20, np.nan))


def test_a_state_transfers_to_another_arm(env, step):
  """States keep their shapes on another arm, with other dynamics."""
  other = make_env("reacher_7dof", "mujoco", forearm=0.45)
  state, action = env.reset(jax.random.key(0)), jnp.full(7, 0.5)
  kept, moved = step(state, action, jax.random.key(0))
  changed, differently = jax.jit(other.step)(state, action, jax.random.key(0))
  assert jax.tree.structure(kept) == jax.tree.structure(changed)
  assert jax.tree.map(jnp.shape, kept) == jax.tree.map(jnp.shape, changed)
  assert np.abs(moved.next_obs[7:14] - differently.next_obs[7:14]).max() > 1e-4
  assert differently.next_obs[14] - moved.next_obs[14] == pytest.approx(0.129, abs=0.02)


@pytest.mark.parametrize("forearm", [0.0, -0.3, 2.0, float("nan")])
def test_rejects_invalid_forearm_lengths(forearm):
  with pytest.raises(ValueError, match=r"forearm=.* must lie between 0.05 and 1.0"):
    make_env("reacher_7dof", forearm=forearm)
