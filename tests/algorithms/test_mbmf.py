"""MBMF: when it fits, what to, how it acts; data sets, refusals, learning."""

import dataclasses

import jax
import numpy as np
import pytest
from mbmf_cases import CONFIG, ENV, MODEL, recorded

from mbrl_jax.algorithms import init_state, make_algorithm, make_evaluation, make_step
from mbrl_jax.algorithms.mbmf import Config, MixedFitConfig, ModelConfig, PlannerConfig
from mbrl_jax.algorithms.parts.split_buffer import sort_rows
from mbrl_jax.envs import make_env
from mbrl_jax.runtime.storage.checkpoint import Checkpoints


def run(config=CONFIG, calls=6, steps=20, envs=1, seeds=None, data=None):
  """Returns the algorithm, the states and the metrics after each call."""
  algorithm = make_algorithm("mbmf", ENV.spec, config)

  def start(key):
    state = init_state(algorithm, ENV, key, envs)
    return state if data is None else algorithm.preload.fill(state, data)

  key = jax.random.key(0)
  state = jax.vmap(start)(jax.random.split(key, seeds)) if seeds else start(key)
  step = make_step(algorithm, ENV, steps=steps, envs=envs, seeds=seeds)
  states, history = [state], []
  for _ in range(calls):
    state, metrics = step(state)
    states.append(jax.device_get(state))
    history.append(jax.device_get(metrics))
  assert step._cache_size() == 1
  return algorithm, states, history


@pytest.fixture(scope="module")
def trained():
  return run()


def test_fits_follow_the_random_actions_and_each_iteration(trained):
  """The environment waits for a fit that falls into a compiled call."""
  _, states, history = trained
  assert [int(state.steps) for state in states] == [0, 20, 36, 56, 76, 76, 76]
  assert [int(m["taken"].sum()) for m in history] == [20, 16, 20, 20, 0, 0]
  assert [float(m["update"]["ran"]) for m in history] == [0, 1, 1, 0, 0, 0]
  random = np.concatenate([m["info"]["random"][m["taken"]] for m in history])
  np.testing.assert_array_equal(random, [1.0] * 36 + [0.0] * 40)
  fits = [(m["update"], state) for m, state in zip(history, states[1:], strict=True)][1:3]
  # Episodes of ten steps, every third held out: 36 = 10 + 10 + (10) + 6, 56 = ... + 10 + (6).
  assert [int(update["rows"]) for update, _ in fits] == [26, 40]
  # New rows: 4 of the fourth episode and 10 of the fifth; 7 of a batch of 8.
  assert [int(update["gradient_steps"]) for update, _ in fits] == [4 * 3, 4 * 26]
  assert (
    fits[0][0]["loss_new"] == 0 and min(fits[1][0][f"loss_{x}"] for x in ("old", "new")) > 0
  )
  assert all(update["error_10"] > 0 == update["error_50"] for update, _ in fits)


def test_validation_episodes_are_kept_apart(trained):
  rows = jax.device_get(sort_rows(trained[1][-1].learn.buffer))
  held = rows.data.obs[rows.old + rows.new :][: rows.validation]
  together = np.concatenate([m["transition"].obs[m["taken"]] for m in trained[2]])
  expected = np.concatenate([together[20:30], together[50:60]])
  np.testing.assert_array_equal(held, expected)
  train = rows.data.obs[: rows.old + rows.new]
  assert len(train) == 56 and not (train[:, None] == held).all(-1).any()


def test_deployed_it_plans_without_noise(trained):
  algorithm, states, _ = trained
  params, carry = algorithm.deploy(algorithm.params(states[0]))  # not yet fitted
  assert params.ready and params.action_noise == 0 and carry.random == 0
  assert algorithm.params(states[-1]).action_noise == np.float32(0.1)
  evaluate = make_evaluation(algorithm, ENV)
  found = evaluate(algorithm.params(states[-1]), jax.random.key(1))
  assert np.isfinite(found["return"]).all()


def test_with_a_data_set_the_model_is_fitted_before_the_first_action():
  data = recorded(4)
  config = dataclasses.replace(CONFIG, dataset="there.npz", steps=30)
  _, states, history = run(config, calls=4, steps=10, data=data)
  assert states[0].learn.buffer.items.capacity == 30 + 40
  assert [int(state.steps) for state in states] == [0, 0, 10, 20, 30]
  assert [float(m["update"]["ran"]) for m in history] == [1, 0, 1, 0]
  assert not any(m["info"]["random"].any() for m in history)
  assert [int(m["update"]["rows"]) for m in history] == [30, 0, 50, 0]
  assert history[0]["update"]["error_10"] > 0


@pytest.mark.slow
def test_parallel_environments_share_the_model_and_the_counts():
  config = dataclasses.replace(CONFIG, init_steps=40, update_every=20, steps=60)
  _, states, history = run(config, calls=4, steps=20, envs=2)
  assert [int(state.steps) for state in states] == [0, 20, 40, 60, 60]
  assert [float(m["update"]["ran"]) for m in history] == [0, 1, 0, 0]
  assert history[1]["update"]["rows"] == 40
  assert states[-1].learn.buffer.episode.tolist() == [3, 3]


@pytest.mark.slow
def test_a_restored_run_continues_bit_for_bit(trained, tmp_path):
  algorithm, states, _ = trained
  Checkpoints(tmp_path).save(36, states[2], {})
  template = init_state(algorithm, ENV, jax.random.key(9))
  state, step = (
    Checkpoints(tmp_path).restore(template).state,
    make_step(algorithm, ENV, steps=20),
  )
  for _ in range(2):
    state, _ = step(state)
  plain = lambda tree: jax.tree.leaves(tree._replace(key=jax.random.key_data(tree.key)))
  for now, before in zip(plain(state), plain(states[4]), strict=True):
    np.testing.assert_array_equal(now, before)


@pytest.mark.slow
def test_vmapped_seeds_equal_single_runs(trained):
  _, states, history = run(seeds=2)
  assert [m["update"]["ran"].tolist() for m in history] == [[r] * 2 for r in (0, 1, 1, 0, 0, 0)]
  algorithm = trained[0]
  state = init_state(algorithm, ENV, jax.random.split(jax.random.key(0), 2)[1])
  step = make_step(algorithm, ENV, steps=20)
  for _ in range(2):
    state, metrics = step(state)
  together = jax.tree.map(lambda x: x[1], states[2].learn.buffer.items.data.transition.obs)
  np.testing.assert_allclose(
    together[:36], state.learn.buffer.items.data.transition.obs[:36], rtol=1e-3, atol=1e-3
  )
  np.testing.assert_allclose(
    history[1]["update"]["loss_old"][1], metrics["update"]["loss_old"], rtol=0.02
  )


def test_a_longer_run_goes_on_with_the_fit_that_the_shorter_one_left_out(trained):
  """A run ends without a fit to its last data; more steps make it due."""
  longer = make_algorithm("mbmf", ENV.spec, dataclasses.replace(CONFIG, steps=96))
  last = trained[1][-1]
  assert longer.idle(last) and trained[0].idle(last)  # the run is over
  fitted = last._replace(learn=last.learn._replace(fits=last.learn.fits + 1))
  assert not longer.idle(fitted) and trained[0].idle(fitted)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"steps": 0}, "steps=0 must be positive"),
    ({"init_steps": 0}, "init_steps=0 must be positive"),
    ({"init_steps": 76}, "init_steps=76 must be less than steps=76"),
    ({"validation_every": 1}, "validation_every=1 keeps every episode for validation"),
    ({"fraction_new": 1.5}, "fraction_new=1.5 must lie between 0.0 and 1.0"),
    ({"action_noise": -0.1}, "action_noise=-0.1 must be at least 0"),
    ({"semantics": "release"}, "semantics='release' is not known. Did you mean 'released'"),
    ({"fit": MixedFitConfig(epochs=0)}, r"fit\.epochs=0 must be positive"),
    (
      {"model": ModelConfig("GP", "E", inducing_points=4)},
      "model.kind='GP' is not made of nets: choose one of D, P, DE, PE",
    ),
  ],
)
def test_invalid_configs_are_rejected(changes, message):
  with pytest.raises(ValueError, match=message):
    make_algorithm("mbmf", ENV.spec, dataclasses.replace(CONFIG, **changes))


def test_a_data_set_larger_than_the_capacity_is_refused():
  config = dataclasses.replace(CONFIG, dataset="there.npz", capacity=10)
  with pytest.raises(ValueError, match=r"capacity=10 is less than the 20 transitions"):
    run(config, calls=0, data=recorded(2))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("semantics", ["corrected", "released"])
def test_the_pendulum_is_swung_up_after_three_iterations(semantics):
  """Random episodes have about -1,200, a swing-up -150 to -400."""
  env = make_env("pendulum")
  length = env.spec.episode_length
  config = Config(
    steps=8 * length,
    init_steps=5 * length,
    update_every=length,
    validation_every=0,
    semantics=semantics,
    model=dataclasses.replace(MODEL, hidden=(128,)),
    fit=MixedFitConfig(epochs=20, batch_size=128),
    planner=PlannerConfig(
      "random_shooting", 1, horizon=20, particles=1, settings={"samples": 500}
    ),
  )
  algorithm = make_algorithm("mbmf", env.spec, config)
  step, state = (
    make_step(algorithm, env, steps=length),
    init_state(algorithm, env, jax.random.key(0)),
  )
  returns = []
  for _ in range(8):
    state, metrics = step(state)
    returns.append(float(metrics["episode_return"][-1]))
  assert np.mean(returns[:5]) < -800 < -600 < max(returns[5:])
