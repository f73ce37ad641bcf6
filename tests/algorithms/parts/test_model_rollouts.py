"""Branched rollouts in models with steps that can be computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms.parts.model_rollouts import branched_rollout
from mbrl_jax.buffers import ring
from mbrl_jax.types import Dynamics, Transition


def counter():
  """Two slices that add their own number and the action; a row terminates above 9."""

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


def test_rows_stay_in_their_slice_and_end_with_a_termination():
  data = run([0, 5, 0, 50], steps=3)
  # the first half belongs to the slice that adds 1, the second to that which adds 100
  assert data.next_obs[:, 0].tolist() == [1, 6, 100, 150, 2, 7, 3, 8]
  assert data.terminated.tolist() == [False, False, True, True, False, False, False, False]
  np.testing.assert_array_equal(data.reward, data.next_obs[:, 0])


def test_the_length_may_be_traced_and_zero():
  assert len(run([0, 0], steps=jnp.int32(0)).reward) == 0
  assert len(run([0, 0], steps=jnp.int32(2)).reward) == 3  # one row ends at once


def test_actors_are_given_the_step_and_the_row():
  data = run([0, 1, 2, 3], steps=2, actor=lambda t, row, obs, key: (10.0 * t + row)[None])
  assert data.action[:4, 0].tolist() == [0, 1, 2, 3]
  assert data.action[4:, 0].tolist() == [10, 11]  # the others have terminated


def test_redraw_reassigns_rows_to_other_slices():
  starts = np.full(200, -1e6)  # far from any termination
  added = lambda redraw: run(starts, 2, redraw, capacity=400)
  stay, move = added(False), added(True)
  gain = lambda data: (data.next_obs - data.obs)[:, 0].round()
  first, second = np.split(gain(stay), 2)
  np.testing.assert_array_equal(first, second)
  first = move.obs[200:, 0] + 1e6  # gains of the first step, in the second step's order
  assert 40 < (first.round() != gain(move)[200:]).sum() < 160


def test_starts_that_do_not_divide_are_rejected():
  with pytest.raises(ValueError, match="3 start states do not divide among 2 elites"):
    run([0, 0, 0], steps=1)


@pytest.mark.parametrize("place", ["next_obs", "reward"])
def test_non_finite_steps_are_dropped_and_counted_and_end_the_row(place):
  """A step to 3 is non-finite; the row that starts at 2 terminates with it."""

  def step(params, obs, action, key):
    next_obs = obs + 1
    error = jnp.where(next_obs[0] == 3, jnp.nan, 0.0)
    reward = next_obs[0] + (error if place == "reward" else 0.0)
    next_obs = next_obs + (error if place == "next_obs" else 0.0)
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
    carry=ring.init(100, blank, count_dropped=True),
    redraw=False,
  )
  data = jax.tree.map(lambda x: np.asarray(x)[: int(stored.size)], stored.data)
  assert data.next_obs[:, 0].tolist() == [1, 2, 9, 2, 10, 11, 12]
  assert stored.dropped == 3 and np.isfinite(data.reward).all()
