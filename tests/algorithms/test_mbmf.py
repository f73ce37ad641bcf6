"""MBMF: when it fits, what to, how it acts; data sets, refusals, learning."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms import init_state, make_algorithm, make_evaluation, make_step
from mbrl_jax.algorithms.mbmf import Config, MixedFitConfig, ModelConfig, PlannerConfig
from mbrl_jax.algorithms.parts.aggregated_fit import _noise_scale, fit_rows
from mbrl_jax.algorithms.parts.dynamics_config import make_model
from mbrl_jax.algorithms.parts.noisy_planner import act_with_noise
from mbrl_jax.algorithms.parts.plan_or_follow import PlanCarry
from mbrl_jax.algorithms.parts.split_buffer import SplitRows, sort_rows
from mbrl_jax.envs import make_env
from mbrl_jax.models import make_optimizer
from mbrl_jax.runtime.storage.checkpoint import Checkpoints
from mbrl_jax.types import Planner, PlanOutput

LENGTH = 10
ENV = make_env("pendulum", episode_length=LENGTH)
MODEL = ModelConfig("D", "E", 1, (16,), "relu", (0.0,), normalize_targets=True)
CONFIG = Config(
  steps=76,
  init_steps=36,
  update_every=20,
  validation_every=3,
  action_noise=0.1,
  model=MODEL,
  fit=MixedFitConfig(epochs=4, batch_size=8, learning_rate=1e-2),
  planner=PlannerConfig("random_shooting", 1, horizon=4, particles=1, settings={"samples": 20}),
)


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


def recorded(episodes, seed=0):
  """Returns transitions of the pendulum under uniform actions."""
  rng, rows, step = np.random.default_rng(seed), [], jax.jit(ENV.step)
  for episode in range(episodes):
    state = ENV.reset(jax.random.key(episode))
    for _ in range(LENGTH):
      action = jnp.float32(rng.uniform(-2, 2, 1))
      state, row = step(state, action, jax.random.key(0))
      rows.append(row._replace(truncated=jnp.zeros((), bool)))
  return jax.tree.map(lambda *x: np.stack(x), *rows)


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


@functools.partial(jax.jit, static_argnames="released")
def compiled_fit(rows, noise, released):
  algorithm = make_algorithm("mbmf", ENV.spec, CONFIG)
  learn = algorithm.init(jax.random.key(0)).learn
  return fit_rows(
    ENV.spec, make_model(MODEL), learn.params, learn.opt_state, rows, jax.random.key(1),
    optimizer=make_optimizer(1e-2), settings=CONFIG.fit, noise=noise, fraction_new=0.5,
    released=released,
  )  # fmt: skip


def fit(rows, released=False, noise=0.0):
  return compiled_fit(rows, noise, released)


def some_rows():
  """Returns 12 old, 8 new, 10 validation and 5 invalid rows; old and new ones differ."""
  data = jax.tree.map(lambda x: x[:35], recorded(4))
  group = np.int32([0] * 12 + [1] * 8 + [5] * 10 + [2**31 - 1] * 5)
  return SplitRows(data, group, *map(jnp.int32, (12, 8, 10)))


def test_no_validation_row_is_trained_on():
  """A model fitted with NaN in all of them is the same, bit for bit."""
  rows = some_rows()
  spoilt = jax.tree.map(np.copy, rows)
  for x in (spoilt.data.obs, spoilt.data.action, spoilt.data.next_obs):
    x[20:] = np.nan
  first, second = fit(rows, noise=0.01), fit(spoilt, noise=0.01)
  jax.tree.map(np.testing.assert_array_equal, first.params, second.params)
  assert first.metrics["error_5"] > 0 and first.metrics["nonfinite_steps"] == 0


def test_the_normaliser_is_that_of_all_or_of_the_random_data():
  rows = some_rows()
  inputs = np.concatenate([jax.vmap(ENV.spec.encode)(rows.data.obs), rows.data.action], 1)
  for released, used in ((False, inputs[:20]), (True, inputs[:12])):
    params = fit(rows, released).params
    np.testing.assert_allclose(params.inputs.mean, used.mean(0), atol=1e-5)
    np.testing.assert_allclose(params.inputs.scale, used.std(0), rtol=1e-4)


def test_noise_is_proportional_to_the_mean():
  x = jnp.array([[1.0, -2.0], [3.0, -2.0], [100.0, 100.0]])
  np.testing.assert_allclose(_noise_scale(x, jnp.int32(2), False), [2.0, 2.0])
  np.testing.assert_allclose(_noise_scale(x, jnp.int32(2), True), [2.0, 0.0])
  rows = some_rows()
  calm, noisy = (fit(rows, noise=noise).params for noise in (0.0, 0.5))
  jax.tree.map(np.testing.assert_array_equal, calm.inputs, noisy.inputs)
  different = jax.tree.map(lambda a, b: (a != b).any(), calm.network, noisy.network)
  assert all(jax.tree.leaves(different))


def test_noise_is_added_to_planned_actions_and_only_to_these(trained):
  """On 400 keys the difference to the planner's action has the given deviation."""
  algorithm, states, _ = trained
  params, spec = algorithm.params(states[-1]), ENV.spec
  planner = constant_planner()
  carry = PlanCarry((), jnp.int32(0))
  keys = jax.random.split(jax.random.key(0), 400)

  def actions(noise, random, keys):
    own = params._replace(action_noise=noise)
    act = lambda key: act_with_noise(
      spec, planner, own, carry._replace(random=jnp.int32(random)), jnp.zeros(3), key
    )
    return jax.vmap(act)(keys)[0]

  planned = actions(jnp.float32(0.1), 0, keys)
  assert abs(planned.mean() - 0.5) < 0.05 and abs(planned.std() - 0.2) < 0.03  # bounds +-2
  assert (actions(jnp.float32(0.0), 0, keys) == 0.5).all()
  wild = actions(jnp.float32(50.0), 0, keys)
  assert wild.min() == -2 and wild.max() == 2
  uniform = [actions(jnp.float32(noise), 1, keys) for noise in (0.0, 50.0)]
  np.testing.assert_array_equal(*uniform)
  assert abs(uniform[0].std() - 4 / np.sqrt(12)) < 0.1


def constant_planner():
  """Returns a planner that always takes 0.5."""
  metrics = {"nonfinite": jnp.zeros((), jnp.int32)}
  output = PlanOutput(jnp.full(1, 0.5), jnp.zeros((1, 1)), jnp.zeros(()), metrics)
  plan = lambda params, obs, state, key: (output, state)
  return Planner(init=lambda: (), plan=plan, sample=None)


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
