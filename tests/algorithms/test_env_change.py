"""A task that changes in mid-training: what carries over, and which episodes are reset."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from mbrl_jax.algorithms.env_change import change_env
from mbrl_jax.algorithms.step import Rollout
from mbrl_jax.envs import make_env
from mbrl_jax.types import TrainState

LONG = make_env("reacher_7dof", "mujoco")
SHORT = make_env("reacher_7dof", "mujoco", forearm=0.2)
FULL = mujoco.mjtState.mjSTATE_FULLPHYSICS


def training(states):
  """Returns a training state in mid-run with these environments ``[N]``."""
  count = len(states.steps)
  rollout = Rollout(states, jnp.full(count, -3.0), jnp.arange(count))
  return TrainState({"w": jnp.ones(2)}, jnp.arange(count), rollout, jax.random.key(5), 7)


def test_a_running_episode_goes_on_from_the_exact_state_of_the_c_engine():
  """A loop of ``mj_step`` that copies the state to another arm, in float64."""
  actions = np.random.default_rng(0).uniform(-1, 1, (6, 7)).astype(np.float32)
  state, expected = jax.jit(LONG.reset)(jax.random.key(1)), []
  models = [LONG.model, SHORT.model]
  data = [mujoco.MjData(model) for model in models]
  for i, action in enumerate(actions):
    if i == 3:
      moved = training(jax.tree.map(lambda x: x[None], state))
      after = jax.jit(change_env, static_argnums=0)(SHORT, moved)
      state = jax.tree.map(lambda x: x[0], after.rollout.env)
      full = np.empty(mujoco.mj_stateSize(models[0], FULL))
      mujoco.mj_getState(models[0], data[0], full, FULL)
      mujoco.mj_setState(models[1], data[1], full, FULL)
      data[1].qacc_warmstart[:] = data[0].qacc_warmstart
    model, simulation = models[i // 3], data[i // 3]
    simulation.ctrl[:] = action
    mujoco.mj_step(model, simulation, 4)
    state, row = jax.jit((LONG, SHORT)[i // 3].step)(state, action, jax.random.key(0))
    expected.append(simulation.qpos.astype(np.float32))
    np.testing.assert_array_equal(state.physics.qpos, expected[-1])
    np.testing.assert_array_equal(
      state.physics.qvel, simulation.qvel.astype(np.float32), err_msg=str(i)
    )
  mujoco.mj_forward(models[1], data[1])
  np.testing.assert_allclose(row.next_obs[14:17], data[1].sensor("finger").data, atol=1e-6)
  assert int(state.steps) == 6 and np.ptp(expected, 0).min() > 0


def test_only_episodes_that_have_not_begun_are_reset_in_the_changed_task():
  keys = jax.random.split(jax.random.key(2), 3)
  states = jax.jit(jax.vmap(LONG.reset))(keys)
  begun = jnp.array([True, False, True])
  states = states._replace(steps=jnp.where(begun, 4, 0))
  before = training(states)
  after = jax.jit(change_env, static_argnums=0)(SHORT, before)
  rows = jax.tree.leaves(before.rollout.env), jax.tree.leaves(after.rollout.env)
  for old, new in zip(*rows, strict=True):
    np.testing.assert_array_equal(old[begun], new[begun])
  finger = after.rollout.env.obs[:, 14]
  np.testing.assert_allclose(finger[0] - finger[1], 0.321 - 0.2, atol=1e-6)
  assert not np.array_equal(before.rollout.env.obs[1, 17:], after.rollout.env.obs[1, 17:])
  kept = lambda state: (state.learn, state.carry, state.rollout[1:], state.steps)
  jax.tree.map(np.testing.assert_array_equal, kept(before), kept(after))
  changed = [jax.random.key_data(state.key) for state in (before, after)]
  assert not np.array_equal(*changed)
