"""Batches of trajectories, against a loop over the environments."""

import jax
import jax.numpy as jnp
import numpy as np
from random_walk import ENVS, POLICY, Walk, begin, configured, made

from mbrl_jax.algorithms import make_step
from mbrl_jax.algorithms.parts.gaussian_actor import make_gaussian_actor
from mbrl_jax.algorithms.parts.trajectory_batch import trajectories
from mbrl_jax.algorithms.step import env_step
from mbrl_jax.ops.float32 import narrow


def slow_rows(env, algorithm, state, steps):
  """Steps every environment in a Python loop; returns rows ``[i][t]`` of what happened."""
  params, key = algorithm.params(state), state.key
  alone = [jax.tree.map(lambda x, i=i: x[i], state.rollout.env) for i in range(ENVS)]
  carries = [jax.tree.map(lambda x, i=i: x[i], state.carry) for i in range(ENVS)]
  time, rows = [0] * ENVS, [[] for _ in range(ENVS)]
  for _ in range(steps):
    key, *step_keys = jax.random.split(key, 4)
    keys = [jax.random.split(k, ENVS) for k in step_keys]
    for i in range(ENVS):
      action, carries[i], _ = algorithm.act(params, carries[i], alone[i].obs, keys[0][i])
      alone[i], row = env.step(alone[i], action, keys[1][i])
      rows[i].append((narrow(row), carries[i].sampled, time[i]))
      time[i] += 1
      if row.terminated or row.truncated:
        alone[i], time[i] = env.reset(keys[2][i]), 0
        carries[i] = algorithm.reset(params, carries[i])
  return rows


def test_the_batch_is_what_a_loop_over_the_environments_sees():
  """With early ends and truncations, and a policy that acts on scaled observations."""
  env, steps = Walk(), 20
  algorithm, state = begin(env, configured(batch=60))
  statistics = state.learn.observations._replace(
    rows=jnp.float32(9), mean=jnp.float32([0.3, 7.5, 3]), variance=jnp.float32([4, 1e-4, 0])
  )
  state = state._replace(learn=state.learn._replace(observations=statistics))
  rows = slow_rows(env, algorithm, state, steps)
  step = jax.jit(lambda state: env_step(algorithm, env, state)[0])
  after = state
  for _ in range(steps):
    after = step(after)
  scaling = algorithm.params(state).scaling
  actor = make_gaussian_actor(env.spec, POLICY)
  batch = after.learn.batch
  found = jax.tree.map(np.asarray, trajectories(actor, scaling, batch, jnp.float32(2.0)))
  assert found.valid.shape == (ENVS, steps) and found.valid.all()
  scaled = lambda x: np.clip(
    (np.array([x, 2 * x + 7, 3]) - [0.3, 7.5, 3]) / [2, 0.01, 1], -10, 10
  )
  for i in range(ENVS):
    for t, (row, sampled, time) in enumerate(rows[i]):
      close = lambda x, y, at=(i, t): np.testing.assert_allclose(x[at], y, rtol=2e-4, atol=1e-5)
      close(found.obs, scaled(row.obs[0]))
      close(found.next_obs, scaled(row.next_obs[0]))
      close(found.action, sampled)
      close(found.reward, row.reward / 2)
      ends = row.terminated, row.truncated, time
      assert (found.terminated[i, t], found.truncated[i, t], found.time[i, t]) == ends
      executed = np.clip(sampled, -1, 1) + 0.5  # the bounds are -0.5 and 1.5
      np.testing.assert_allclose(row.action, executed, rtol=1e-5, atol=1e-6)
  assert found.terminated.any() and found.truncated.any() and (found.obs == 10).any()
  assert (np.abs(found.action) > 1).any(), "no action was clipped"


def test_steps_beyond_the_batch_are_dropped_and_counted():
  env, algorithm, state, _ = made()
  state, metrics = make_step(algorithm, env, steps=18, envs=ENVS)(state)
  assert metrics["update"]["dropped_steps"] == 6 and state.learn.observations.rows == 12
