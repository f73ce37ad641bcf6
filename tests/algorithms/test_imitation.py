"""DAgger: cloning before the first action, labels of the planner, what goes on from it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms import (
  init_state,
  make_algorithm,
  make_evaluation,
  make_step,
  pets,
  trpo,
)
from mbrl_jax.algorithms.dagger import Config
from mbrl_jax.algorithms.parts.dynamics_config import ModelConfig
from mbrl_jax.algorithms.parts.gaussian_actor import PolicyConfig
from mbrl_jax.algorithms.parts.model_planner import make_model_planner
from mbrl_jax.algorithms.parts.planner_config import PlannerConfig
from mbrl_jax.envs import make_env
from mbrl_jax.networks.gaussian_policy import make_gaussian_policy
from mbrl_jax.ops.validate import ArgumentError
from mbrl_jax.runtime.storage.checkpoint import Checkpoints
from mbrl_jax.types import Transition

ENV = make_env("pendulum", episode_length=10)
MODEL = ModelConfig("D", "E", 1, (8,), "relu", weight_decay=(0.0,))
PLANNER = PlannerConfig("random_shooting", 1, 3, 1, 1, {"samples": 20})
CONFIG = Config(
  dataset="rows.npz",
  steps=24,
  update_every=8,
  capacity=50,
  holdout=6,
  epochs=3,
  batch_size=16,
  label_batch_size=3,
  model=MODEL,
  planner=PLANNER,
  policy=PolicyConfig(hidden=(8,), log_std=-0.7),
)
POLICY = make_gaussian_policy(3, 1, hidden=(8,))
ROWS = 30


def recorded(count=ROWS):
  """Returns transitions with actions of a linear law."""
  rng = np.random.default_rng(0)
  obs = jnp.asarray(rng.normal(size=(count, 3)), jnp.float32)
  flag = jnp.zeros(count, bool)
  return Transition(obs, 0.8 * obs[:, :1], jnp.zeros(count), obs, flag, flag)


def expert_of(seed=0):
  """Returns what PETS acts by: its net need not be fitted to have opinions."""
  config = pets.Config(model=MODEL, planner=PLANNER)
  algorithm = make_algorithm("pets", ENV.spec, config)
  return algorithm.params(jax.jit(algorithm.init)(jax.random.key(seed)))


@pytest.fixture(scope="module")
def expert():
  return expert_of()


def begin(algorithm, expert, seed=1, envs=1):
  state = init_state(algorithm, ENV, jax.random.key(seed), envs)
  return algorithm.warm_start(algorithm.preload.fill(state, recorded()), expert)


def train(expert, calls, envs=1, **changes):
  """Returns the algorithm, the states before and after each call, metrics, and the step."""
  algorithm = make_algorithm("dagger", ENV.spec, dataclasses.replace(CONFIG, **changes))
  step = make_step(algorithm, ENV, steps=8, envs=envs)
  states, history = [begin(algorithm, expert, envs=envs)], []
  for _ in range(calls):
    state, metrics = step(states[-1])
    states.append(state)
    history.append(jax.device_get(metrics))
  assert step._cache_size() == 1
  return algorithm, states, history, step


@pytest.fixture(scope="module")
def trained(expert):
  return train(expert, 4)


def plain(x):
  is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
  return jax.random.key_data(x) if is_key else x


def equal(a, b):
  jax.tree.map(lambda x, y: np.testing.assert_array_equal(plain(x), plain(y)), a, b)


def test_the_policy_is_cloned_before_its_first_action(trained):
  _, states, history, _ = trained
  assert [int(h["taken"].sum()) for h in history] == [0, 8, 8, 8]
  assert [int(s.steps) for s in states] == [0, 0, 8, 16, 24]
  rows = [int(h["update"]["rows"]) for h in history]
  assert rows == [24, 32, 40, 48] == [int(s.learn.learner.data.size) for s in states[1:]]
  assert history[0]["update"]["label_distance"] == 0
  for report in (h["update"] for h in history):
    assert report["ran"] == 1 and report["imitation_error"] > 0
  assert all(h["update"]["label_distance"] > 0 for h in history[1:])


def test_the_dataset_is_stored_in_units_of_the_bounds_and_its_end_is_held_out(trained):
  _, states, history, _ = trained
  learn, rows = states[1].learn, recorded()
  np.testing.assert_allclose(learn.learner.data.data.obs[:24], rows.obs[:24])
  np.testing.assert_allclose(
    learn.learner.data.data.action[:24], rows.action[:24] / 2, rtol=1e-5
  )
  np.testing.assert_allclose(learn.holdout.data.obs, rows.obs[24:])
  layers = [jax.tree.map(np.float64, learn.learner.params.net[f"layer_{i}"]) for i in (0, 1)]
  hidden = np.tanh(np.float64(rows.obs[24:]) @ layers[0]["kernel"] + layers[0]["bias"])
  out = hidden @ layers[1]["kernel"] + layers[1]["bias"]
  error = np.mean((out - rows.action[24:] / 2) ** 2)
  np.testing.assert_allclose(history[0]["update"]["holdout_error"], error, rtol=1e-4)


def test_labels_are_the_planners_actions_in_the_visited_states(trained, expert):
  """Queried one by one, each with a fresh plan."""
  _, states, history, _ = trained
  planner = make_model_planner(ENV.spec, MODEL, PLANNER).planner
  plan = jax.jit(planner.plan)
  rows = states[2].learn.learner.data.data
  visited = history[1]["transition"].obs
  np.testing.assert_array_equal(rows.obs[24:32], visited)
  # the keys of _update, of the learner, and of each row
  key = states[1].key
  for _ in range(8):
    key = jax.random.split(key, 4)[0]
  key = jax.random.split(jax.random.split(key)[0])[0]
  for i in range(8):
    row_key = jax.random.fold_in(key, i)
    output, _ = plan(expert.model, visited[i], planner.init(), row_key)
    np.testing.assert_allclose(rows.action[24 + i], output.action / 2, rtol=1e-5)
  equal(states[2].learn.expert.model, expert.model)


def test_actions_are_the_mean_with_noise_and_without_it_in_an_evaluation(trained):
  algorithm, states, history, _ = trained
  params, rows = algorithm.params(states[1]), history[1]["transition"]
  mean = lambda obs: 2 * np.clip(POLICY.mean(params.policy, jnp.asarray(obs)), -1, 1)
  noise = (rows.action - mean(rows.obs)) / 2
  assert 0.0005 < np.abs(noise).mean() < 0.02
  evaluated = make_evaluation(algorithm, ENV, episodes=2)(params, jax.random.key(0))
  first = jax.tree.map(lambda x: np.asarray(x[0]), evaluated["transition"])
  np.testing.assert_allclose(first.action, mean(first.obs), atol=1e-6)
  np.testing.assert_allclose(params.policy.log_std, [-0.7])
  np.testing.assert_array_equal(params.scaling.scale, [1, 1, 1])


def test_trpo_goes_on_from_the_policy_with_its_deviation(trained):
  algorithm, states, _, _ = trained
  policy = PolicyConfig(hidden=(8,), min_log_std=-13.8, max_log_std=10.0)
  config = trpo.Config(policy=policy, scale_observations=False)
  other = make_algorithm("trpo", ENV.spec, config)
  source = algorithm.params(states[-1])
  warm = other.warm_start(other.init(jax.random.key(3)), source)
  equal(other.params(warm), source)
  assert np.exp(other.params(warm).policy.log_std[0]) == pytest.approx(np.exp(-0.7))
  deployed = [each.deploy(each.params(state)) for each, state in (
    (algorithm, states[-1]), (other, warm)
  )]  # fmt: skip
  for obs in (jnp.float32([1.0, 0.0, 0.3]), jnp.float32([-0.6, 0.8, -5.0])):
    actions = [
      each.act(*parameters, obs, jax.random.key(0))[0]
      for each, parameters in zip((algorithm, other), deployed, strict=True)
    ]
    np.testing.assert_array_equal(*actions)


@pytest.mark.slow
def test_several_environments_collect_the_same_number_of_labels(expert):
  _, states, history, _ = train(expert, 2, envs=4)
  assert int(history[1]["update"]["rows"]) == 32 and int(states[-1].steps) == 8
  np.testing.assert_array_equal(
    states[-1].learn.learner.data.data.obs[24:32], history[1]["transition"].obs
  )


@pytest.mark.slow
def test_a_restored_run_continues_bit_for_bit(trained, tmp_path):
  algorithm, states, _, step = trained
  Checkpoints(tmp_path).save(8, states[2], {})
  template = begin(algorithm, expert_of(5), seed=9)
  state = Checkpoints(tmp_path).restore(template).state
  for _ in range(2):
    state, _ = step(state)
  equal(state, states[-1])


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"dataset": ""}, "dataset='' is missing: DAgger starts from episodes of the planner"),
    ({"update_every": 0}, "update_every=0 must be positive"),
    ({"holdout": 0}, "holdout=0 must be positive"),
    ({"epochs": 0}, "epochs=0 must be positive"),
    ({"label_batch_size": 0}, "label_batch_size=0 must be positive"),
    ({"action_noise": -0.1}, "action_noise=-0.1 must be at least 0"),
    ({"learning_rate": 0.0}, "learning_rate=0.0 must be positive"),
    ({"model": dataclasses.replace(MODEL, kind="X")}, "model.kind='X' is not known"),
  ],
)
def test_invalid_configs_are_refused(changes, message):
  with pytest.raises(ArgumentError, match=message):
    make_algorithm("dagger", ENV.spec, dataclasses.replace(CONFIG, **changes))


def test_a_dataset_that_does_not_fit_is_refused():
  algorithm = make_algorithm("dagger", ENV.spec, CONFIG)
  state = jax.eval_shape(algorithm.init, jax.random.key(0))
  fill = lambda count: jax.eval_shape(algorithm.preload.fill, state, recorded(count))
  with pytest.raises(ArgumentError, match=r"capacity=50 is less than the 51 tra.*=51"):
    fill(51)
  with pytest.raises(ArgumentError, match="holdout=6 leaves none of the 6 transitions"):
    fill(6)


def test_another_expert_is_refused(trained, expert):
  algorithm, states, _, _ = trained
  with pytest.raises(ArgumentError, match="params must act by a planner over a learned"):
    algorithm.warm_start(states[0], algorithm.params(states[0]))
  wide = make_algorithm(
    "pets", ENV.spec, pets.Config(model=dataclasses.replace(MODEL, hidden=(9,)))
  )
  params = wide.params(wide.init(jax.random.key(0)))
  message = r"model\.network\..*layer_0.* is \[.*9\] there and \[.*8\] here"
  with pytest.raises(ArgumentError, match=message):
    algorithm.warm_start(states[0], params)
