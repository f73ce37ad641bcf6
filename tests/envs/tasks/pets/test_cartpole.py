"""Tests cart-pole against published constants and an independent formula."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from mbrl_jax.envs import env_dynamics, make_env


@pytest.fixture(scope="module")
def env():
  return make_env("cartpole", "mujoco")


@pytest.fixture(scope="module")
def returns(env):
  """Returns a function: the returns of 20 episodes of actions ``scale * U(-3, 3)``."""

  def episode(key, scale):
    reset_key, key = jax.random.split(key)

    def body(state, key):
      action = scale * jax.random.uniform(key, (1,), minval=-3.0, maxval=3.0)
      state, transition = env.step(state, action, key)
      return state, transition.reward

    keys = jax.random.split(key, env.spec.episode_length)
    return jax.lax.scan(body, env.reset(reset_key), keys)[1].sum()

  run = jax.jit(jax.vmap(episode, (0, None)))
  return lambda scale: np.asarray(run(jax.random.split(jax.random.key(0), 20), scale))


@pytest.mark.parametrize(
  ("scale", "mean", "spread"), [(1.0, -4.5, 0.8), (0.0, 2.8, 0.7)], ids=["random", "zero"]
)
def test_baselines(returns, scale, mean, spread):
  """Mean and deviation over 20 episodes of the original's MJCF on MuJoCo 4."""
  got = returns(scale)
  error = np.sqrt((spread**2 + got.var(ddof=1)) / 20)
  assert abs(got.mean() - mean) < 2 * error


def test_model_matches_the_published_one(env):
  model = env.model
  mass = {model.body(i).name: model.body_mass[i] for i in range(model.nbody)}
  assert mass["cart"] == pytest.approx(10.472, abs=5e-4)
  assert mass["pole"] == pytest.approx(5.0186, abs=5e-5)
  assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4
  assert model.opt.timestep == 0.02
  np.testing.assert_array_equal(model.actuator_gear[:, 0], [100])
  np.testing.assert_array_equal(model.dof_damping, [1, 1])
  np.testing.assert_array_equal(model.jnt_range[0], [-2.5, 2.5])
  np.testing.assert_array_equal(model.jnt_limited, [1, 0])
  assert not model.geom_contype.any()


def test_spec(env):
  spec = env.spec
  assert (spec.name, spec.obs_dim, spec.action_dim) == ("cartpole", 4, 1)
  assert (spec.episode_length, spec.dt) == (200, pytest.approx(0.04))
  np.testing.assert_array_equal([spec.action_low, spec.action_high], [[-3], [3]])
  assert spec.action_low.dtype == np.float32


def test_reward_is_the_published_formula_on_the_true_tip(env):
  data, rng = mujoco.MjData(env.model), np.random.default_rng(0)
  for _ in range(20):
    obs, action = rng.normal(size=4) * [1, 3, 1, 1], rng.uniform(-3, 3, 1)
    data.qpos[:] = obs[:2]
    mujoco.mj_forward(env.model, data)
    tip = data.site("tip").xpos
    want = np.exp(-np.sum((tip - [0, 0, 0.6]) ** 2) / 0.36) - 0.01 * np.sum(action**2)
    unused = np.full(4, 7.0, np.float32)
    got = env.spec.reward(unused, np.float32(action), jnp.float32(obs))
    assert got == pytest.approx(want, abs=1e-6)


def test_best_reward_is_one(env):
  upright = np.float32([0, np.pi, 0, 0])
  assert env.spec.reward(upright, np.zeros(1), upright) == pytest.approx(1, abs=1e-6)


def test_encoding(env):
  obs = np.float32([0.3, 2.0, -1.0, 4.0])
  want = [np.sin(2.0), np.cos(2.0), 0.3, -1.0, 4.0]
  np.testing.assert_allclose(env.spec.encode(obs), want, rtol=1e-6)


def test_reset_distribution(env):
  obs = np.asarray(jax.vmap(env.reset)(jax.random.split(jax.random.key(1), 4000)).obs)
  np.testing.assert_allclose(obs.mean(0), 0, atol=4 * 0.1 / np.sqrt(4000))
  np.testing.assert_allclose(obs.std(0), 0.1, rtol=0.05)
  np.testing.assert_allclose(np.corrcoef(obs.T), np.eye(4), atol=0.07)


def test_pose_and_segments_place_the_tip(env):
  state = env.reset(jax.random.key(3))
  np.testing.assert_array_equal(env.pose(state), state.obs[:2])
  data = mujoco.MjData(env.model)
  data.qpos[:] = [0.4, 2.0]
  mujoco.mj_forward(env.model, data)
  tip = env.segments(np.array([0.4, 2.0]))[-1, 1]
  np.testing.assert_allclose(tip, data.site("tip").xpos[[0, 2]], atol=1e-6)


def test_planning_model_reproduces_the_environment_return(env):
  """The compiled rollout of a planner has the environment's reward at each step."""
  actions = np.random.default_rng(4).uniform(-3, 3, (40, 1)).astype(np.float32)
  dynamics, key, start = env_dynamics(env), jax.random.key(0), env.reset(jax.random.key(5))

  def plan(state, action):
    state, reward, terminated = dynamics.step(None, state, action, key)
    return state, (reward, terminated)

  planned, terminated = jax.jit(lambda: jax.lax.scan(plan, start, actions)[1])()
  state, paid = start, []
  for action in actions:
    before = state
    state, transition = env.step(state, action, key)
    paid.append(transition.reward)
    np.testing.assert_array_equal(transition.obs, before.obs)
    np.testing.assert_array_equal(transition.next_obs, state.obs)
  np.testing.assert_allclose(planned, paid, atol=1e-6)
  assert not terminated.any()
