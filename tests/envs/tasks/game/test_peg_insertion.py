"""Tests the peg insertion against published constants, and that the socket is reachable."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from mbrl_jax.envs import make_env
from mbrl_jax.envs.tasks.game.peg_insertion import inserted

# joint angles that hold the peg upright in the socket, by position of the socket
INSERTED = {
  0.1: [0.4714, 0.627, -1.5, -1.3924, -0.5696, -0.679, 1.4947],
  0.3: [0.7943, 0.6721, -1.3496, -1.2971, 0.0104, -0.0045, 0.8582],
  0.5: [1.3744, 0.5129, -0.7131, -0.4351, 0.1445, -0.1883, 0.4648],
}


@pytest.fixture(scope="module")
def env():
  return make_env("peg_insertion", "mujoco")


@pytest.fixture(scope="module")
def step(env):
  return jax.jit(env.step)


@pytest.fixture(scope="module")
def state(env):
  return jax.jit(env.reset)(jax.random.key(0))


def test_spec_and_model(env):
  spec, model = env.spec, env.model
  assert (spec.obs_dim, spec.action_dim, spec.episode_length) == (18, 7, 50)
  assert spec.dt == pytest.approx(0.04)
  assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4
  np.testing.assert_array_equal(model.dof_damping[:7], [10, 10, 0.1, 1, 0.1, 0.1, 0.1])
  np.testing.assert_array_equal(model.dof_armature[:7], np.full(7, 0.04))
  assert model.body("peg").mass[0] == pytest.approx(2000 * np.pi * 0.028**2 * 0.3, rel=1e-6)


def test_reset_draws_the_socket(env, state):
  keys = jax.random.split(jax.random.key(0), 2000)
  qpos = np.asarray(jax.vmap(env.initial)(keys)[0])
  np.testing.assert_array_equal(qpos[:, :7], 0)
  assert 0.1 <= qpos[:, 7].min() < 0.102 and 0.498 < qpos[:, 7].max() <= 0.5
  assert qpos[:, 7].mean() == pytest.approx(0.3, abs=0.01)
  np.testing.assert_allclose(state.obs[14:17], [0.821 + 0.35, -0.6, -0.25], atol=1e-6)


def test_reward_by_hand(env):
  far = np.zeros(18, np.float32)
  far[14:] = [0.3, 0.2, -0.4, 0.2]  # 0.3 along x and 0.1 too high
  want = -0.4 - 5 * np.sqrt(0.1)
  assert env.spec.reward(far + 1, np.ones(7), far) == pytest.approx(want, abs=1e-6)
  near = np.zeros(18, np.float32)
  near[14:] = [0.0, 0.4, -0.46, 0.4]
  assert env.spec.reward(far, np.ones(7), near) == pytest.approx(5 - 6 * 0.04, abs=1e-6)
  assert inserted(near) and not inserted(far)
  assert env.spec.success == (inserted, 1, 1)
  slope = jax.grad(lambda o: env.spec.reward(o, jnp.zeros(7), o))(
    jnp.zeros(18).at[16].set(-0.5)
  )
  assert np.isfinite(slope).all()


@pytest.mark.parametrize("socket", list(INSERTED))
def test_the_peg_fits_into_the_socket_at_all_positions(env, socket):
  data = mujoco.MjData(env.model)
  data.qpos[:] = [*INSERTED[socket], socket]
  mujoco.mj_forward(env.model, data)
  np.testing.assert_allclose(data.site("tip").xpos, [0, socket, -0.5], atol=2e-3)
  np.testing.assert_allclose(data.site("goal").xpos, [0, socket, -0.5], atol=1e-6)
  assert data.body("peg").xmat[8] > 0.999
  assert data.ncon == 0
  low, high = env.model.jnt_range[:7].T
  assert (data.qpos[:7] >= low - 1e-6).all() and (data.qpos[:7] <= high + 1e-6).all()


def test_the_socket_holds_the_peg_and_does_not_move(env, step, state):
  """The inserted peg pushes sideways for a whole episode."""
  qpos = jnp.float32([*INSERTED[0.3], 0.3])
  state = state._replace(physics=env.physics.init(qpos, jnp.zeros(8)))
  push = jnp.zeros(7).at[0].set(1.0)
  for _ in range(50):
    state, t = step(state, push, jax.random.key(0))
  assert abs(float(t.next_obs[17]) - 0.3) < 1e-3
  assert inserted(t.next_obs)
