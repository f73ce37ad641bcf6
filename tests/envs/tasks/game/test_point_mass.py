"""Tests the point mass against published constants and independent formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms.parts.success import episode_success
from mbrl_jax.envs import make_env
from mbrl_jax.envs.tasks.game.point_mass import solved


@pytest.fixture(scope="module")
def env():
  return make_env("point_mass", "mujoco")


@pytest.fixture(scope="module")
def step(env):
  return jax.jit(env.step)


def test_spec(env):
  spec = env.spec
  assert (spec.obs_dim, spec.action_dim, spec.episode_length) == (6, 2, 25)
  assert spec.dt == pytest.approx(0.05)
  np.testing.assert_array_equal([spec.action_low, spec.action_high], [[-1, -1], [1, 1]])


def test_reset_distribution(env):
  obs = np.asarray(jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 4000)).obs)
  np.testing.assert_array_equal(obs[:, 2:4], 0)
  drawn = obs[:, [0, 1, 4, 5]]
  assert (np.abs(drawn) <= 1).all() and (np.abs(drawn).max(0) > 0.99).all()
  np.testing.assert_allclose(drawn.std(0), 1 / np.sqrt(3), rtol=0.05)
  np.testing.assert_allclose(np.corrcoef(drawn.T), np.eye(4), atol=0.07)


def test_a_push_follows_newton(env, step):
  """Closed-form solution for 10 N on the ball, its armature and the damping."""
  mass = 1000 * 4 / 3 * np.pi * 0.05**3 + 0.01
  rate, final = 0.1 / mass, 10 / 0.1
  state = env.reset(jax.random.key(0))
  state = state._replace(physics=state.physics._replace(qpos=jnp.zeros(2)))
  _, t = step(state, jnp.array([1.0, -0.5]), jax.random.key(0))
  velocity = final * -np.expm1(-rate * 0.05)
  way = final * 0.05 - velocity / rate
  want = np.array([way, -0.5 * way, velocity, -0.5 * velocity])
  np.testing.assert_allclose(t.next_obs[:4], want, rtol=1e-4)
  np.testing.assert_array_equal(t.next_obs[4:], t.obs[4:])


def test_walls_bound_the_field(env, step):
  state = env.reset(jax.random.key(1))
  for _ in range(25):
    state, t = step(state, jnp.ones(2), jax.random.key(0))
  assert (np.abs(t.next_obs[:2] - 1.4) < 0.05).all() and not t.terminated


def test_reward_by_hand(env):
  obs = np.float32([0.3, -0.1, 5, 5, 0.0, 0.3])
  before = np.full(6, 9, np.float32)
  got = env.spec.reward(before, np.ones(2), obs)
  assert got == pytest.approx(-0.7 - 0.5 * 0.5, abs=1e-6)


def test_the_reward_gradient_is_finite_at_the_goal(env):
  slope = jax.grad(lambda obs: env.spec.reward(obs, jnp.zeros(2), obs))(jnp.zeros(6))
  assert np.isfinite(slope).all()


def test_success_is_a_solved_step_among_the_last_four(env):
  near, far = np.float32([0.03, 0.03, 0, 0, 0, 0]), np.float32([0.06, 0.03, 0, 0, 0, 0])
  assert solved(near) and not solved(far)
  episode, taken = np.tile(far, (25, 1)), np.ones(25, bool)
  episode[20] = near
  assert not episode_success(env.spec.success, episode, taken)["success"]
  episode[21] = near
  assert episode_success(env.spec.success, episode, taken)["success"]


def test_pose_shows_the_goal(env):
  state = env.reset(jax.random.key(2))
  np.testing.assert_allclose(env.pose(state)[2:4], state.obs[4:])
