"""Tests the pusher against the published model and formulas."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from swing import swing

from mbrl_jax.envs import make_env
from mbrl_jax.types import EnvState

# The arm of the published model after ``swing``, run in MuJoCo 4.0.
PUBLISHED = [
  0.39517, 0.25508, -0.92981, -1.72760, 1.01387, -0.69807, 0.75310,
  0.29466, 0.29277, -0.94636, -0.66121, 2.56601, 0.28704, -2.07653,
]  # fmt: skip
GOAL = np.array([0.45, -0.05, -0.323])


@pytest.fixture(scope="module")
def env():
  return make_env("pusher", physics="mujoco")


def put(env, qpos):
  physics = env.physics.init(jnp.float32(qpos), jnp.zeros(9))
  return EnvState(physics, env.observe(physics), jnp.zeros((), jnp.int32))


def expected(obs, action):
  tip, thing = np.float64(obs[14:17]), np.float64(obs[17:20])
  cost = 1.25 * np.abs(thing - GOAL).sum() + 0.5 * np.abs(thing - tip).sum()
  return -cost - 0.1 * np.sum(np.square(action))


def test_tip_is_in_front_of_the_wrist(env):
  obs = put(env, [0] * 7 + [-0.25, 0.15]).obs
  np.testing.assert_allclose(obs[14:17], [0.921, -0.6, 0], atol=1e-6)
  np.testing.assert_allclose(obs[17:20], [0.6, -0.3, -0.275], atol=1e-6)


def test_positions_belong_to_the_state_itself(env):
  state = put(env, [0] * 7 + [-0.25, 0.15])
  for _ in range(5):
    state, t = env.step(state, jnp.full(7, 2.0), jax.random.key(0))
  data = mujoco.MjData(env.model)
  data.qpos[:] = state.physics.qpos
  mujoco.mj_kinematics(env.model, data)
  np.testing.assert_allclose(t.next_obs[14:17], data.site("tip").xpos, atol=1e-6)
  np.testing.assert_allclose(t.next_obs[17:20], data.site("object").xpos, atol=1e-6)


def test_reward_uses_the_state_after_the_step(env):
  action = jnp.linspace(-2, 2, 7)
  start = put(env, [0.5, 0.3, 0, -1, 0, -0.5, 0, -0.25, 0.15])
  _, t = env.step(start, action, jax.random.key(0))
  assert float(t.reward) == pytest.approx(expected(t.next_obs, action), rel=1e-5)


def test_the_published_reward_uses_the_state_before(env):
  original = make_env("pusher", physics="mujoco", original=True)
  action = jnp.linspace(-2, 2, 7)
  start = put(original, [0.5, 0.3, 0, -1, 0, -0.5, 0, -0.25, 0.15])
  state, _ = original.step(start, action, jax.random.key(0))
  _, t = original.step(state, action, jax.random.key(0))
  assert float(t.reward) == pytest.approx(expected(t.obs, action), rel=1e-5)
  assert float(t.reward) != pytest.approx(expected(t.next_obs, action), rel=1e-4)


def test_reset(env):
  states = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 2000))
  np.testing.assert_array_equal(states.obs[:, :7], 0)
  speeds, thing = np.asarray(states.obs[:, 7:14]), np.asarray(states.obs[:, 17:20])
  assert np.abs(speeds).max() <= 0.005
  np.testing.assert_allclose(speeds.std(0), 0.005 / np.sqrt(3), rtol=0.06)
  np.testing.assert_array_equal(states.physics.qvel[:, 7:], 0)
  np.testing.assert_allclose(thing.mean(0), [0.6, -0.3, -0.275], atol=2e-3)
  np.testing.assert_allclose(thing[:, :2].std(0), 0.025, rtol=0.06)


def run(env, start, action, steps):
  def step(state, _):
    return env.step(state, action, None)

  return jax.jit(lambda start: jax.lax.scan(step, start, length=steps))(start)


def test_the_hand_pushes_the_cylinder(env):
  """Unlike in the published model on MuJoCo 4, see the task's deviations."""
  start = put(env, [0, 0.36, 0, -0.05, 0, -0.05, 0, -0.55, 0.42])
  end, moves = run(env, start, jnp.float32([1.0, 1.0, 0, 0, 0, 0, 0]), 25)
  assert end.obs[18] > start.obs[18] + 0.05
  assert np.isfinite(moves.next_obs).all()
  assert end.obs[19] == start.obs[19]  # it slides, and does not fall or tip


def test_the_table_stops_the_hand(env):
  start = put(env, [0.3, 0.42, 0, 0, 0, 0, 0, -0.1, -0.1])  # the prongs reach into it
  assert start.obs[16] < -0.325
  end, _ = run(env, start, jnp.zeros(7), 10)
  assert end.obs[16] > -0.31


def test_the_cylinder_has_a_mass_of_40_grams(env):
  thing = env.model.body("object")
  assert thing.mass[0] + env.model.dof_armature[-1] == pytest.approx(0.04)
  np.testing.assert_array_equal(env.model.dof_damping[-2:], 0.5)


def test_constants_of_the_task(env):
  spec = env.spec
  assert (spec.dt, spec.episode_length, spec.obs_dim) == (0.04, 150, 20)
  np.testing.assert_array_equal(spec.action_high, np.full(7, 2))


def test_motion_equals_the_published_model(env):
  end = swing(env, [0] * 7 + [-0.25, 0.15])
  np.testing.assert_allclose(np.r_[end[:7], end[9:16]], PUBLISHED, atol=2e-5)
