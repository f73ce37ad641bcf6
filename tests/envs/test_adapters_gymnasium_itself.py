"""Gymnasium's environments as ours and ours as Gymnasium's, where Gymnasium is installed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_gymnasium import episode

from mbrl_jax import from_gymnasium, make_env, to_gymnasium


@pytest.fixture(scope="module")
def gymnasium():
  return pytest.importorskip("gymnasium")


def test_pendulum_is_gymnasium_s(gymnasium):
  env = make_env("gymnasium:Pendulum-v1", g=9.0, episode_length=7)
  assert env.spec.dt == 0.05 and env.spec.episode_length == 7
  state, t = jax.jit(functools.partial(episode, env, steps=7))(jax.random.key(0))
  theirs = gymnasium.make("Pendulum-v1", g=9.0)
  obs, _ = theirs.reset(seed=int(state.physics.seed))
  np.testing.assert_array_equal(t.obs[0], obs)
  for i in range(7):
    obs, gain, _, _, _ = theirs.step(np.asarray(t.action[i]))
    np.testing.assert_array_equal(t.next_obs[i], obs)
    np.testing.assert_allclose(t.reward[i], gain, rtol=1e-6)
  assert t.truncated.tolist() == [False] * 6 + [True]
  # and our pendulum's reward is its reward
  ours = jax.vmap(make_env("pendulum").spec.reward)(t.obs, t.action, t.next_obs)
  np.testing.assert_allclose(ours, t.reward, atol=1e-5)


def test_mujoco_environments_resume_at_the_same_positions_and_velocities(gymnasium):
  old, new = (from_gymnasium("InvertedPendulum-v5") for _ in range(2))
  state, key = old.reset(jax.random.key(0)), jax.random.key(1)
  for _ in range(5):
    state, _ = old.step(state, jnp.array([0.2]), key)
  expected, found = (
    old.step(state, jnp.array([0.1]), key),
    new.step(state, jnp.array([0.1]), key),
  )
  jax.tree.map(np.testing.assert_array_equal, expected, found)
  np.testing.assert_array_equal(
    found[1].next_obs, np.float32(np.r_[new.pose(found[0]), found[1].next_obs[2:]])
  )
  assert new.model.nq == 2 and not found[1].truncated


def test_discrete_environments_of_gymnasium(gymnasium):
  env = make_env("gymnasium:CartPole-v1")
  assert env.spec.action_dim == 2 and env.spec.episode_length == 500
  _, t = jax.jit(functools.partial(episode, env, steps=60))(jax.random.key(0))
  assert t.terminated[-1] and not t.truncated.any()


@pytest.mark.parametrize(
  ("name", "options", "message"),
  [
    ("Pendulm-v1", {}, "Pendulm"),
    ("Pendulum-v1", {"gravity": 3}, "gravity"),
  ],
)
def test_gymnasium_s_refusals_are_value_errors(gymnasium, name, options, message):
  with pytest.raises(ValueError, match=message):
    from_gymnasium(name, **options)


@pytest.mark.parametrize("name", ["pendulum", "inverted_pendulum", "hopper"])
def test_ours_pass_gymnasium_s_checker(gymnasium, name):
  from gymnasium.utils.env_checker import check_env

  env = to_gymnasium(make_env(name))
  check_env(env, skip_render_check=True)


def test_ours_as_gymnasium_s_take_the_same_steps(gymnasium):
  env = make_env("pendulum", episode_length=4)
  theirs = to_gymnasium(env)
  first = [theirs.reset(seed=3)[0] for _ in range(2)]
  np.testing.assert_array_equal(*first)
  assert not np.array_equal(theirs.reset()[0], first[0])
  theirs.reset(seed=3)
  state = theirs._state
  for i in range(4):
    action = np.float32([0.5 * i])
    obs, gain, terminated, truncated, _ = theirs.step(action)
    state, t = env.step(state, action, jax.random.key(0))
    np.testing.assert_allclose(obs, t.next_obs, rtol=1e-6)
    assert gain == pytest.approx(float(t.reward), rel=1e-6)
    assert (terminated, truncated) == (False, i == 3)


def test_rendering_is_mujoco_s_or_the_caller_s(gymnasium):
  with pytest.raises(ValueError, match=r"'pendulum' has no MuJoCo model.*pass draw"):
    to_gymnasium(make_env("pendulum"), "rgb_array")
  with pytest.raises(ValueError, match=r"render_mode='human'.*'rgb_array'"):
    to_gymnasium(make_env("cartpole"), "human")
  picture = np.zeros((4, 5, 3), np.uint8)
  env = to_gymnasium(make_env("pendulum"), "rgb_array", draw=lambda pose: picture + len(pose))
  assert env.render() is None
  env.reset(seed=0)
  assert (env.render() == 1).all() and to_gymnasium(make_env("pendulum")).render() is None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_stable_baselines_trains_on_ours(gymnasium):
  sb3 = pytest.importorskip("stable_baselines3")
  env = to_gymnasium(make_env("pendulum"))
  model = sb3.SAC("MlpPolicy", env, learning_starts=50, seed=0, device="cpu")
  model.learn(300)
  action, _ = model.predict(env.reset(seed=0)[0], deterministic=True)
  assert env.action_space.contains(action)
