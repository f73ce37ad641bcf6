"""PETS in episodes that end early: trials, fits and predictions of replayed plans."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_pets import CONFIG, LENGTH, MODEL, PLANNER

from mbrl_jax.algorithms import init_state, make_algorithm, make_step
from mbrl_jax.types import EnvSpec, EnvState, Transition


class Countdown:
  """A point mass; each episode ends after its own random number of steps."""

  spec = EnvSpec(
    name="countdown",
    obs_dim=2,
    action_low=np.float32([-1.0]),
    action_high=np.float32([1.0]),
    dt=0.1,
    episode_length=LENGTH,
    reward=lambda obs, action, next_obs: -jnp.square(next_obs[0]),
    terminated=lambda obs, action, next_obs: next_obs[1] <= 0,
  )

  def reset(self, key):
    position, left = jax.random.normal(key), jax.random.randint(key, (), 2, LENGTH - 1)
    obs = jnp.stack([position, left.astype(jnp.float32)])
    return EnvState(obs, obs, jnp.zeros((), jnp.int32))

  def step(self, state, action, key):
    obs, steps = state.obs + jnp.stack([0.3 * action[0], -1.0]), state.steps + 1
    ended = self.spec.terminated(state.obs, action, obs)
    reward = self.spec.reward(state.obs, action, obs)
    row = Transition(state.obs, action, reward, obs, ended, (steps >= LENGTH) & ~ended)
    return EnvState(obs, obs, steps), row

  def pose(self, state):
    return state.obs


@pytest.fixture(scope="module")
def short():
  """Two uniform and three planned episodes of different lengths, replanned every 3 steps."""
  config = dataclasses.replace(
    CONFIG,
    init_trials=2,
    log_predictions=True,
    model=dataclasses.replace(MODEL, kind="D", propagation="E"),
    planner=dataclasses.replace(PLANNER, replan_every=3),
  )
  env = Countdown()
  algorithm = make_algorithm("pets", env.spec, config)
  state, history = init_state(algorithm, env, jax.random.key(3)), []
  step = make_step(algorithm, env, steps=4)
  for _ in range(14):
    before, (state, metrics) = state, step(state)
    history.append((before, jax.device_get(metrics)))
  return algorithm, state, history


def test_trials_are_episodes_also_if_they_end_early(short):
  _, state, history = short
  rows = [
    jax.tree.map(lambda x, m=m: x[m["taken"]], (m["done"], m["info"])) for _, m in history
  ]
  done = np.concatenate([done for done, _ in rows])
  random = np.concatenate([info["random"] for _, info in rows])
  ends = np.flatnonzero(done)
  assert len(ends) == 5 and ends[-1] == len(done) - 1 < 5 * LENGTH
  assert len(set(np.diff(ends))) > 1, "all episodes are equally long"
  np.testing.assert_array_equal(random, np.arange(len(done)) <= ends[1])
  assert state.learn.buffer.size == state.steps == len(done)
  assert not history[-1][1]["taken"].any()  # the run is over: no more steps


def test_a_fit_follows_each_trial_before_the_next_begins(short):
  _, _, history = short
  fits = 0
  for _, m in history:
    planned = np.flatnonzero(m["done"] & m["taken"] & (m["info"]["random"] == 0))
    if len(planned):
      assert m["update"]["ran"] and not m["taken"][planned[0] + 1 :].any()
    fits += int(m["update"]["ran"])
  assert fits == 4  # after the last uniform episode and after each planned one


def test_predictions_begin_with_the_executed_action(short):
  """The model is one deterministic network, so its own step gives the prediction."""
  algorithm, _, history = short
  step, checked = algorithm.diagnostics.dynamics.step, set()
  for before, m in history:
    for t in np.flatnonzero(m["taken"] & (m["info"]["random"] == 0)):
      predicted, obs = m["info"]["prediction"][t], m["transition"].obs[t]
      np.testing.assert_array_equal(predicted[0, 0], obs)
      action = m["transition"].action[t]
      expected = step(before.learn.params, obs, action, jax.random.key(0))[0]
      np.testing.assert_allclose(predicted[1, 0], expected, rtol=1e-4, atol=1e-5)
      age = int(np.isnan(predicted[:, 0, 0]).sum())
      assert age < 3 and np.isfinite(predicted[: PLANNER.horizon + 1 - age]).all()
      checked.add(age)
  assert checked == {0, 1, 2}
