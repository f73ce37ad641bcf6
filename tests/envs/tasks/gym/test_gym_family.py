"""Tests Gymnasium's family against recorded steps and an installed Gymnasium."""

import gym_family
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from gym_family import NAMES, make_gymnasium, make_task, module

from mbrl_jax.envs.physics.mujoco_engine import join
from mbrl_jax.envs.tasks.gym.halfcheetah import encode_pets, make_halfcheetah_pets
from mbrl_jax.types import EnvState

LOCOMOTION = NAMES[:5]
VERSIONED = [(name, version) for name in NAMES for version in (5, 4)]


@pytest.fixture(scope="module", params=NAMES)
def env(request):
  return make_task(request.param)


def stepped(env, data):
  """Steps all rows of ``data`` at once; returns physics states and transitions."""

  def step(qpos, qvel, action):
    physics = env.physics.init(qpos, qvel)
    state = EnvState(physics, env.observe(physics), jnp.zeros((), jnp.int32))
    state, transition = env.step(state, action, jax.random.key(0))
    return state.physics, transition

  starts = (jnp.float32(data[field]) for field in ("qpos", "qvel", "action"))
  return jax.jit(jax.vmap(step))(*starts)


def exact(env, physics):
  """Returns positions and velocities in float64, including the rounding error."""
  nq, nv = env.model.nq, env.model.nv
  rounded = np.concatenate([physics.qpos, physics.qvel], 1)
  full = np.empty(rounded.shape)
  join(rounded, np.asarray(physics.data.ulps)[:, 1 : 1 + nq + nv], full)
  return full[:, :nq], full[:, nq:]


def check_against(env, name, data):
  physics, transition = stepped(env, data)
  qpos, qvel = exact(env, physics)
  np.testing.assert_allclose(qpos, data["next_qpos"], rtol=0, atol=1e-9)
  np.testing.assert_allclose(qvel, data["next_qvel"], rtol=0, atol=1e-9)
  # float32 holds x to 6e-8, hence velocities of x to 1e-5 where a step takes 0.008 s
  np.testing.assert_allclose(transition.reward, data["reward"], rtol=1e-6, atol=1e-5)
  np.testing.assert_array_equal(transition.terminated, data["terminated"])
  obs = np.asarray(jax.vmap(module(name).gym_observation)(transition.next_obs))
  seen = 8 if name == "inverted_double_pendulum" else obs.shape[1]  # but for the rail's force
  np.testing.assert_allclose(obs[:, :seen], data["next_obs"][:, :seen], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "version"), VERSIONED)
def test_steps_equal_recorded_steps_of_gymnasium(name, version):
  golden = np.load(gym_family.GOLDEN)
  data = {field: golden[f"{name}/{version}/{field}"] for field in gym_family.FIELDS}
  assert len(data["reward"]) >= 6 and (name == "halfcheetah" or data["terminated"].any())
  check_against(make_task(name, version), name, data)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "version"), VERSIONED)
def test_steps_equal_gymnasium(name, version):
  """Takes 200 random steps from each of 8 resets, with the same states and actions."""
  pytest.importorskip("gymnasium", reason="Gymnasium (the extra 'gymnasium') is not installed")
  check_against(make_task(name, version), name, gym_family.rollouts(name, version))


@pytest.mark.parametrize("name", NAMES)
def test_fifty_consecutive_steps_equal_gymnasium(name):
  """Later, contacts make any two simulations diverge: the half-cheetah after 60 steps."""
  pytest.importorskip("gymnasium", reason="Gymnasium (the extra 'gymnasium') is not installed")
  gym, env = make_gymnasium(name), make_task(name)
  gym.reset(seed=0)
  start = [np.float32(x) for x in (gym.data.qpos, gym.data.qvel)]
  gym.set_state(*(np.float64(x) for x in start))
  space, rng, trace = gym.action_space, np.random.default_rng(0), []
  actions = rng.uniform(space.low, space.high, (50, gym.model.nu)).astype(np.float32)
  for action in actions:
    gym.step(action)
    trace.append(gym.data.qpos.copy())

  def body(physics, action):
    physics = env.physics.step(physics, action)
    return physics, physics.qpos

  got = jax.jit(lambda: jax.lax.scan(body, env.physics.init(*start), actions)[1])()
  np.testing.assert_allclose(got, trace, rtol=2e-7, atol=2e-6)


SHAPES = {
  "halfcheetah": (18, 17, 6, 1.0, 0.05, 14.0),
  "hopper": (12, 11, 3, 1.0, 0.008, 15.820013),
  "walker2d": (18, 17, 6, 1.0, 0.008, 23.677137),
  "ant": (28, 27, 8, 1.0, 0.05, 0.910880),
  "humanoid": (46, 45, 17, 0.4, 0.015, 42.116030),
  "inverted_pendulum": (4, 4, 1, 3.0, 0.04, 15.490567),
  "inverted_double_pendulum": (6, 9, 1, 1.0, 0.05, 18.869453),
}


def test_spec(env):
  spec = env.spec
  obs_dim, gym_dim, action_dim, bound, dt, mass = SHAPES[spec.name]
  assert (spec.obs_dim, spec.action_dim, spec.episode_length) == (obs_dim, action_dim, 1000)
  assert spec.dt == pytest.approx(dt)
  np.testing.assert_array_equal(spec.action_high, np.full(action_dim, bound, np.float32))
  np.testing.assert_array_equal(spec.action_low, -spec.action_high)
  assert module(spec.name).gym_observation(jnp.zeros(obs_dim)).shape == (gym_dim,)
  assert env.model.body_mass.sum() == pytest.approx(mass, abs=1e-6)


@pytest.mark.parametrize("name", LOCOMOTION)
def test_models_get_gymnasiums_observation_and_predict_velocity(name):
  spec, rng = make_task(name).spec, np.random.default_rng(0)
  obs, next_obs = rng.normal(size=(2, spec.obs_dim)).astype(np.float32)
  np.testing.assert_array_equal(spec.encode(obs), module(name).gym_observation(obs))
  np.testing.assert_array_equal(spec.encode(obs), spec.encode(obs + np.eye(1, len(obs))[0]))
  target = spec.target(obs, next_obs)
  assert target[0] == pytest.approx((next_obs[0] - obs[0]) / spec.dt, rel=1e-6)
  np.testing.assert_allclose(target[1:], next_obs[1:] - obs[1:])
  np.testing.assert_allclose(spec.decode(obs, target), next_obs, atol=1e-6)


def test_the_reward_depends_on_the_displacement_only():
  spec = make_task("halfcheetah").spec
  obs, action = np.zeros(18, np.float32), np.full(6, 0.5, np.float32)
  forward = np.eye(1, 18, dtype=np.float32)[0] * 0.25
  assert spec.reward(obs, action, forward) == pytest.approx(5 - 0.15)
  assert spec.reward(obs + forward, action, obs) == pytest.approx(-5 - 0.15)


@pytest.mark.parametrize("name", NAMES)
def test_nan_gives_a_nan_reward_and_terminates_if_anything_does(name):
  spec = make_task(name).spec
  obs, action = jnp.zeros(spec.obs_dim), jnp.zeros(spec.action_dim)
  lost = jnp.full(spec.obs_dim, jnp.nan)
  assert spec.terminated(obs, action, lost) == (name != "halfcheetah")
  assert np.isnan(spec.reward(obs, action, lost))


@pytest.mark.parametrize("name", ["hopper", "ant", "inverted_pendulum"])
def test_huge_states_end_the_episode(name):
  """Gymnasium requires finite states, and for the hopper values below 100."""
  spec = make_task(name).spec
  obs = {"hopper": [0, 1.25], "ant": [0, 0.5]}.get(name, [0, 0])
  obs = jnp.zeros(spec.obs_dim).at[:2].set(jnp.float32(obs))
  action = jnp.zeros(spec.action_dim)
  assert not spec.terminated(obs, action, obs)
  assert spec.terminated(obs, action, obs.at[-1].set(101 if name == "hopper" else jnp.inf))


RESETS = {
  "halfcheetah": (0.1 / np.sqrt(3), 0.1),
  "hopper": (0.005 / np.sqrt(3),) * 2,
  "walker2d": (0.005 / np.sqrt(3),) * 2,
  "ant": (0.1 / np.sqrt(3), 0.1),
  "humanoid": (0.01 / np.sqrt(3),) * 2,
  "inverted_pendulum": (0.01 / np.sqrt(3),) * 2,
  "inverted_double_pendulum": (0.1 / np.sqrt(3), 0.1),
}


def test_resets_have_the_spread_of_gymnasium(env):
  count = 2000
  keys = jax.random.split(jax.random.key(0), count)
  qpos, qvel = map(np.asarray, jax.jit(jax.vmap(env.initial))(keys))
  plain = slice(None)
  if env.spec.name in ("ant", "humanoid"):  # their orientation is a unit quaternion
    np.testing.assert_allclose(np.linalg.norm(qpos[:, 3:7], axis=1), 1, rtol=1e-6)
    plain = np.r_[:3, 7 : env.model.nq]
  for got, home, std in zip(
    (qpos[:, plain], qvel), (env.model.qpos0[plain], 0.0), RESETS[env.spec.name], strict=True
  ):
    np.testing.assert_allclose(got.mean(0) - home, 0, atol=5 * std / np.sqrt(count))
    np.testing.assert_allclose(got.std(0), std, rtol=0.1)


def test_pose_is_the_full_configuration(env):
  state = env.reset(jax.random.key(0))
  assert env.pose(state).shape == (env.model.nq,)
  assert env.model.ncam == 1


def test_position_of_the_humanoid_is_its_centre_of_mass():
  env = make_task("humanoid")
  state = env.reset(jax.random.key(1))
  state, transition = env.step(state, 0.3 * jnp.ones(17), jax.random.key(0))
  data = mujoco.MjData(env.model)
  data.qpos[:] = state.physics.qpos
  mujoco.mj_forward(env.model, data)
  centre = env.model.body_mass @ data.xipos / env.model.body_mass.sum()
  assert transition.next_obs[0] == pytest.approx(centre[0], abs=1e-7)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "halfcheetah"])
def test_rejects_other_versions(name):
  with pytest.raises(ValueError, match=r"version=3 .*4, 5"):
    make_task(name, version=3)


def test_pets_networks_get_and_predict_the_published_features():
  """Features: height, sine and cosine of the pitch, the rest. Targets: velocity, changes."""
  spec = make_halfcheetah_pets("mujoco").spec
  obs = np.arange(18, dtype=np.float32)
  want = [1, np.sin(2), np.cos(2), *range(3, 18)]
  np.testing.assert_allclose(spec.encode(obs), want, rtol=1e-6)
  assert spec.encode is encode_pets and spec.name == "halfcheetah_pets"
  assert spec.target(obs, obs + 1)[0] == pytest.approx(20)


@pytest.fixture(scope="module")
def pets_returns():
  """Returns of 20 episodes of actions ``scale * U(-1, 1)``."""
  env = make_halfcheetah_pets("mujoco")

  def episode(key, scale):
    def body(state, key):
      action = scale * jax.random.uniform(key, (6,), minval=-1.0, maxval=1.0)
      state, transition = env.step(state, action, key)
      return state, transition.reward

    keys = jax.random.split(key, 1001)
    return jax.lax.scan(body, env.reset(keys[0]), keys[1:])[1].sum()

  run = jax.jit(jax.vmap(episode, (0, None)))
  return lambda scale: np.asarray(run(jax.random.split(jax.random.key(0), 20), scale))


@pytest.mark.parametrize(
  ("scale", "mean", "spread"), [(1.0, -302, 67), (0.0, -0.2, 0.0)], ids=["random", "zero"]
)
def test_baselines_of_pets(pets_returns, scale, mean, spread):
  """Mean and deviation over 20 episodes of the original's MJCF on today's MuJoCo."""
  returns = pets_returns(scale)
  error = np.sqrt((spread**2 + returns.var(ddof=1)) / 20)
  assert abs(returns.mean() - mean) < 2 * error + 0.05  # 0.05: the table's last digit
