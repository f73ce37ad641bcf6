"""Tests that only environments whose episode is done are reset."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.envs import make_env
from mbrl_jax.envs.restart import choose_rows, restart, restart_rows

KEYS = jax.random.split(jax.random.key(1), 4)


@pytest.fixture(scope="module")
def env():
  return make_env("pendulum")


@pytest.fixture(scope="module")
def states(env):
  """States of four environments after one step."""
  states = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 4))
  return jax.vmap(lambda state: env.step(state, jnp.ones(1), KEYS[0])[0])(states)


def row(tree, i):
  return jax.tree.map(lambda x: x[i], tree)


@pytest.mark.parametrize("done", [[True, False, False, True], [False] * 4, [True] * 4])
def test_done_rows_are_reset_and_others_unchanged(env, states, done):
  got = jax.jit(lambda done: restart_rows(env, done, states, KEYS))(jnp.array(done))
  for i, is_done in enumerate(done):
    expected = env.reset(KEYS[i]) if is_done else row(states, i)
    chex.assert_trees_all_close(row(got, i), expected, rtol=1e-6)
    assert got.steps[i] == (0 if is_done else 1)


@pytest.mark.parametrize("done", [True, False])
def test_a_single_row_equals_restart(env, states, done):
  one = jax.tree.map(lambda x: x[:1], states)
  got = restart_rows(env, jnp.array([done]), one, KEYS[:1])
  want = restart(env, jnp.array(done), row(states, 0), KEYS[0])
  chex.assert_trees_all_equal(row(got, 0), want)


def test_a_restart_method_replaces_the_reset(env, states):
  class OwnRestart:
    """Marks the rows that it restarts by a negative number of steps."""

    spec, reset, step = env.spec, env.reset, env.step

    def restart(self, done, state, key):
      del key
      return state._replace(steps=jnp.where(done, -1, state.steps))

  done = jnp.array([False, True, False, True])
  got = restart_rows(OwnRestart(), done, states, KEYS)
  np.testing.assert_array_equal(got.steps, [1, -1, 1, -1])
  chex.assert_trees_all_equal(got.physics, states.physics)


def test_choose_rows_selects_along_the_first_axis():
  old = {"a": jnp.zeros((3, 2)), "b": jnp.zeros(3)}
  new = {"a": jnp.ones((3, 2)), "b": jnp.ones(3)}
  got = choose_rows(jnp.array([True, False, True]), new, old)
  np.testing.assert_array_equal(got["a"], [[1, 1], [0, 0], [1, 1]])
  np.testing.assert_array_equal(got["b"], [1, 0, 1])
