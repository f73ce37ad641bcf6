"""Tests the tasks of MBMF: swimmer, half-cheetah, hopper and ant of rllab."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from swing import swing

from mbrl_jax.envs import make_env
from mbrl_jax.envs.tasks.mbmf import ant_mbmf, hopper_mbmf

NAMES = ("ant_mbmf", "halfcheetah_mbmf", "hopper_mbmf", "swimmer")
HOME = {
  "ant_mbmf": ant_mbmf.HOME,
  "halfcheetah_mbmf": np.zeros(9),
  "hopper_mbmf": hopper_mbmf.HOME,
  "swimmer": np.zeros(5),
}
# rllab's models after ``swing``, run in MuJoCo 4.0: positions and velocities.
SWIMMER = [
  0.18041, 0.79988, -1.15908, 1.08865, 1.58223, 0.68770, 0.85808, -1.34781, 2.12877, -0.27005,
]  # fmt: skip
ANT = [
  0.08388, 0.02313, 0.51572, 0.99593, -0.01866, 0.05215, -0.07105, -0.43611, 0.56708, -0.10234,
  -0.95095, 0.18996, -0.73622, 0.53460, 0.31624, -0.58047, -0.85065, 0.26944, 0.90171, 0.26432,
  -2.36895, 7.94427, -4.85224, -1.13363, -3.46709, -2.46220, -1.58484, -0.12260, 1.58798,
]  # fmt: skip


@pytest.fixture(scope="module", params=NAMES)
def env(request):
  return make_env(request.param, physics="mujoco")


@pytest.fixture(scope="module")
def moved(env):
  """Returns a state after three steps, and the last transition."""
  state, step = env.reset(jax.random.key(0)), jax.jit(env.step)
  for i in range(3):
    action = jax.random.uniform(jax.random.key(i), (env.spec.action_dim,), minval=-1.0)
    state, transition = step(state, action, jax.random.key(0))
  return state, transition


def at(env, state):
  """Evaluates a state with MuJoCo."""
  data = mujoco.MjData(env.model)
  data.qpos[:], data.qvel[:] = state.physics.qpos, state.physics.qvel
  mujoco.mj_forward(env.model, data)
  mujoco.mj_subtreeVel(env.model, data)
  return data


def test_observation_ends_in_the_centre_of_mass(env, moved):
  state, t = moved
  data = at(env, state)
  np.testing.assert_allclose(t.next_obs[-6:-3], data.subtree_com[0], atol=1e-5)
  momentum = data.subtree_linvel[1]  # that of all that hangs on the root
  np.testing.assert_allclose(t.next_obs[-3:], momentum, atol=1e-4)


def test_reward_by_hand(env, moved):
  state, t = moved
  speed = at(env, state).subtree_linvel[1][0]
  bonus, price = {
    "ant_mbmf": (0.05, 0.005),
    "halfcheetah_mbmf": (0.0, 0.05),
    "hopper_mbmf": (1.0, 0.005),
    "swimmer": (0.0, 0.005),
  }[env.spec.name]
  expected = speed + bonus - price * float(np.sum(np.square(t.action)))
  assert float(t.reward) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
  ("name", "dt", "timestep", "length", "sizes", "force"),
  [
    ("swimmer", 0.15, 0.001, 333, (16, 16), [50, 50]),
    ("halfcheetah_mbmf", 0.01, 0.01, 1000, (24, 24), [120, 90, 60, 120, 60, 30]),
    ("hopper_mbmf", 0.02, 0.02, 1000, (17, 17), [200] * 3),
    ("ant_mbmf", 0.02, 0.02, 1000, (35, 44), [150] * 8),
  ],
)
def test_constants_of_the_tasks(name, dt, timestep, length, sizes, force):
  env = make_env(name, physics="mujoco")
  spec = env.spec
  assert (spec.dt, env.model.opt.timestep, spec.episode_length) == (dt, timestep, length)
  features = jax.eval_shape(spec.encode, jnp.zeros(spec.obs_dim)).shape[0]
  assert (spec.obs_dim, features) == sizes
  np.testing.assert_array_equal(env.model.actuator_gear[:, 0], force)
  np.testing.assert_array_equal(spec.action_high, 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reset", ["data", "mpc"])
def test_resets(name, reset):
  env = make_env(name, physics="mujoco", reset=reset)
  draw = jax.jit(jax.vmap(env.initial))
  qpos, qvel = draw(jax.random.split(jax.random.key(0), 2000))
  off, qvel = np.asarray(qpos) - HOME[name], np.asarray(qvel)
  if name == "ant_mbmf":
    np.testing.assert_allclose(np.linalg.norm(qpos[:, 3:7], axis=1), 1, rtol=1e-5)
    off = np.delete(off, 3, axis=1)  # normalising leaves little of the noise in w
  std, top = (0.01, 0.06) if reset == "data" else (0.1 / np.sqrt(3), 0.1001)
  if name == "swimmer" and reset == "mpc":
    np.testing.assert_array_equal(off[:, 2], 0)  # it heads exactly along x
    off = np.delete(off, 2, axis=1)
    assert np.abs(qvel).max() <= 0.1
  else:
    np.testing.assert_allclose(qvel.std(0), 0.1, rtol=0.07)
  np.testing.assert_allclose(off.std(0), std, rtol=0.08)
  assert np.abs(off).max() < top * 1.1


def test_unknown_reset():
  with pytest.raises(ValueError, match=r"reset='trpo'.*'data'"):
    make_env("swimmer", physics="mujoco", reset="trpo")


@pytest.mark.parametrize(
  ("index", "value", "ended"),
  [(0, 0.71, False), (0, 0.69, True), (1, 0.29, False), (1, -0.31, True), (10, 101, True),
   (4, -101, True), (11, 500, False), (6, np.nan, True)],
)  # fmt: skip
def test_hopper_terminates(index, value, ended):
  obs = np.zeros(17, np.float32)
  obs[0] = 1.2
  obs[index] = value
  assert bool(hopper_mbmf.terminated(None, None, jnp.asarray(obs))) is ended


def test_random_data_of_the_hopper_may_go_on_after_a_fall():
  env = make_env("hopper_mbmf", physics="mujoco", end_on_fall=False)
  fallen = jnp.zeros(env.spec.obs_dim)
  assert not env.spec.terminated(fallen, jnp.zeros(3), fallen) and env.spec.full_length
  assert not make_env("hopper_mbmf", physics="mujoco").spec.full_length


@pytest.mark.parametrize(
  ("index", "value", "ended"),
  [(31, 0.31, False), (31, 0.29, True), (31, 1.1, True), (2, 0.1, False), (20, np.inf, True)],
)
def test_ant_terminates(index, value, ended):
  obs = np.zeros(35, np.float32)
  obs[31] = 0.5
  obs[index] = value
  assert bool(ant_mbmf.terminated(None, None, jnp.asarray(obs))) is ended


def test_hopper_observes_z_before_x_and_clips_for_networks():
  env = make_env("hopper_mbmf", physics="mujoco")
  qpos, qvel = (
    jnp.float32([0.3, 1.2, 0.1, -0.2, -0.3, 0.4]),
    jnp.float32([1, -2, 3, 4, 20, -30]),
  )
  obs = env.observe(env.physics.init(qpos, qvel))
  np.testing.assert_allclose(obs[:5], [1.2, 0.1, -0.2, -0.3, 0.4])
  np.testing.assert_allclose(obs[5:11], [-2, 1, 3, 4, 20, -30])
  np.testing.assert_allclose(env.spec.encode(obs)[5:11], [-2, 1, 3, 4, 10, -10])
  np.testing.assert_array_equal(env.spec.encode(obs)[11:], obs[11:])


def test_ant_encodes_the_rotation_of_its_torso():
  env = make_env("ant_mbmf", physics="mujoco")
  quaternion = np.random.default_rng(0).normal(size=4)
  obs = jnp.zeros(35).at[3:7].set(jnp.float32(quaternion))
  expected = np.empty(9)
  mujoco.mju_quat2Mat(expected, quaternion / np.linalg.norm(quaternion))
  encoded = env.spec.encode(obs.at[29].set(7.0))
  np.testing.assert_allclose(encoded[29:38], expected, atol=1e-6)
  assert encoded[38] == 7
  assert np.isfinite(env.spec.encode(jnp.zeros(35))).all()


def test_masses_equal_rllab():
  masses = {name: make_env(name, physics="mujoco").model.body_subtreemass[1] for name in NAMES}
  assert masses["swimmer"] == pytest.approx(3 * 35.605, rel=1e-4)
  assert masses["halfcheetah_mbmf"] == pytest.approx(14, rel=1e-6)
  assert masses["hopper_mbmf"] == pytest.approx(3.665 + 4.058 + 2.781 + 5.316, rel=1e-3)
  assert masses["ant_mbmf"] == pytest.approx(0.911, rel=1e-3)


def test_swimmer_motion_equals_rllab():
  env = make_env("swimmer", physics="mujoco")
  np.testing.assert_allclose(swing(env, np.zeros(5), steps=10), SWIMMER, atol=2e-5)


def test_ant_motion_equals_rllab():
  env = make_env("ant_mbmf", physics="mujoco")
  np.testing.assert_allclose(swing(env, ant_mbmf.HOME, steps=20), ANT, atol=3e-5)
