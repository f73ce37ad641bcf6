"""Imagined rollouts over a model whose steps can be counted by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms.parts.model_rollouts import branched_rollout
from mbrl_jax.buffers import ring
from mbrl_jax.types import Dynamics, Transition


def counter():
  """Two slices that add their own number and the action; above 9 a row terminates."""

  def step(params, obs, action, key):
    next_obs = obs + params + action
    return next_obs, next_obs[0], next_obs[0] > 9

  return Dynamics(step, slices=2, params_axes=0), jnp.array([1.0, 100.0])


def run(starts, steps, redraw=False, actor=lambda t, row, obs, key: jnp.zeros(1), capacity=100):
  dynamics, params = counter()
  flag = jnp.zeros((), bool)
  blank = Transition(jnp.zeros(1), jnp.zeros(1), jnp.zeros(()), jnp.zeros(1), flag, flag)
  roll = lambda steps: branched_rollout(
    dynamics,
    params,
    jnp.float32(starts)[:, None],
    actor,
    steps,
    jax.random.key(0),
    store=ring.add_many,
    carry=ring.init(capacity, blank),
    redraw=redraw,
  )
  stored = jax.jit(roll)(steps)
  return jax.tree.map(lambda x: np.asarray(x)[: int(stored.size)], stored.data)


def test_rows_stay_with_their_slice_and_end_when_they_terminate():
  data = run([0, 5, 0, 50], steps=3)
  # the first half belongs to the slice that adds 1, the second to that which adds 100
  assert data.next_obs[:, 0].tolist() == [1, 6, 100, 150, 2, 7, 3, 8]
  assert data.terminated.tolist() == [False, False, True, True, False, False, False, False]
  np.testing.assert_array_equal(data.reward, data.next_obs[:, 0])


def test_length_is_data_and_none_stores_nothing():
  assert len(run([0, 0], steps=jnp.int32(0)).reward) == 0
  assert len(run([0, 0], steps=jnp.int32(2)).reward) == 3  # one row ends at once


def test_actors_know_the_step_and_the_row():
  data = run([0, 1, 2, 3], steps=2, actor=lambda t, row, obs, key: (10.0 * t + row)[None])
  assert data.action[:4, 0].tolist() == [0, 1, 2, 3]
  assert data.action[4:, 0].tolist() == [10, 11]  # the others are over


def test_redrawing_deals_rows_to_other_slices():
  starts = np.full(200, -1e6)  # far from any termination
  added = lambda redraw: run(starts, 2, redraw, capacity=400)
  stay, move = added(False), added(True)
  gain = lambda data: (data.next_obs - data.obs)[:, 0].round()
  first, second = np.split(gain(stay), 2)
  np.testing.assert_array_equal(first, second)
  both = move.obs[200:, 0] + 1e6  # what the first step had added, in the second step's order
  assert 40 < (both.round() != gain(move)[200:]).sum() < 160


def test_refuses_starts_that_do_not_divide():
  with pytest.raises(ValueError, match="3 start states do not divide among 2 elites"):
    run([0, 0, 0], steps=1)


@pytest.mark.parametrize("place", ["next_obs", "reward"])
def test_what_a_model_makes_that_is_not_finite_is_dropped_counted_and_ends(place):
  """Rows that reach 3 break; those that terminate at once with nothing after are gone too."""

  def step(params, obs, action, key):
    next_obs = obs + 1
    broken = jnp.where(next_obs[0] == 3, jnp.nan, 0.0)
    reward = next_obs[0] + (broken if place == "reward" else 0.0)
    next_obs = next_obs + (broken if place == "next_obs" else 0.0)
    return next_obs, reward, obs[0] == 2

  flag = jnp.zeros((), bool)
  blank = Transition(jnp.zeros(1), jnp.zeros(1), jnp.zeros(()), jnp.zeros(1), flag, flag)
  stored = branched_rollout(
    Dynamics(step),
    None,
    jnp.array([[0.0], [1.0], [2.0], [8.0]]),
    lambda t, row, obs, key: jnp.zeros(1),
    4,
    jax.random.key(0),
    store=ring.add_many,
    carry=ring.init(100, blank, counted=True),
    redraw=False,
  )
  data = jax.tree.map(lambda x: np.asarray(x)[: int(stored.size)], stored.data)
  assert data.next_obs[:, 0].tolist() == [1, 2, 9, 2, 10, 11, 12]
  assert stored.dropped == 3 and np.isfinite(data.reward).all()
