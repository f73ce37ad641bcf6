"""MOReL: preparation from the data, pessimism, what the environment is for; refusals."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from game_cases import CONFIGS, ENV, changed, policy_of, train

from mbrl_jax.algorithms import init_state, make_algorithm
from mbrl_jax.algorithms.parts.policy_improvement import acting_params
from mbrl_jax.ops.missing import MissingTermination
from mbrl_jax.runtime.storage.checkpoint import Checkpoints
from mbrl_jax.types import Transition

ROWS = 40


def recorded(count=ROWS, seed=0):
  """Returns transitions of the pendulum under a known linear policy, in four episodes."""
  rng = np.random.default_rng(seed)
  rows = []
  step, reset = jax.jit(ENV.step), jax.jit(ENV.reset)
  for t in range(count):
    if t % 10 == 0:
      state = reset(jax.random.key(t))
    action = np.clip(0.5 * np.asarray(state.obs)[:1] + 0.2 * rng.normal(), -1.9, 1.9)
    state, row = step(state, jnp.float32(action), jax.random.key(0))
    rows.append(row._replace(truncated=jnp.zeros((), bool)))
  return jax.tree.map(lambda *x: jnp.stack(x), *rows)


@pytest.fixture(scope="module")
def data():
  return recorded()


def begin(data):
  """Returns the initial state of a run that has loaded the data."""
  return lambda algorithm, key: algorithm.preload.fill(init_state(algorithm, ENV, key), data)


@pytest.fixture(scope="module")
def morel(data):
  return train("morel", 4, start=begin(data))


def equal(a, b):
  plain = lambda x: (
    jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
  )
  jax.tree.map(lambda x, y: np.testing.assert_array_equal(plain(x), plain(y)), a, b)


def test_the_model_is_fitted_once_and_the_environment_is_not_learned_from(morel, data):
  algorithm, history, _ = morel
  start = begin(data)(algorithm, jax.random.key(0))
  assert int(start.learn.real.stored) == ROWS and int(start.learn.real.initial.size) == 4
  models = [state.learn.world_model for state, _ in history]
  assert [int(m.opt_state.count) for m in models] == [2 * -(-ROWS // 16)] * 4
  for (state, report), model in zip(history, models, strict=True):
    equal(state.learn.real, start.learn.real)
    equal(model, models[0])
    equal(state.learn.prepared, history[0][0].learn.prepared)
    assert report["farthest"] == state.learn.prepared.farthest > 0
    assert report["model_loss"] > 0 and report["cloning_error"] > 0
    assert report["ran"] == 1 and report["refused"] == 0 < report["kl"]
  policies = [policy_of(state).net["layer_1"]["kernel"] for state, _ in history]
  assert all((a != b).any() for a, b in itertools.pairwise(policies))
  assert [int(s.steps) for s, _ in history] == [5, 10, 15, 20]


def test_the_threshold_is_the_largest_disagreement_in_the_data(morel, data):
  """The distances of all pairs of members in numpy, in units of the normalised targets."""
  _, history, _ = morel
  params = jax.tree.map(np.asarray, history[0][0].learn.world_model.params.change)
  inputs = np.concatenate([ENV.spec.encode(data.obs), data.action], 1)
  x, members = (inputs - params.inputs.mean) / params.inputs.scale, []
  for e in range(2):
    layers = [params.network[f"layer_{i}"] for i in range(2)]
    hidden = np.maximum(x @ layers[0]["kernel"][e] + layers[0]["bias"][e], 0)
    out = hidden @ layers[1]["kernel"][e] + layers[1]["bias"][e]
    members.append(np.where(params.targets.scale > 0, out, 0))
  largest = np.linalg.norm(members[0] - members[1], axis=1).max()
  np.testing.assert_allclose(history[0][0].learn.prepared.farthest, largest, rtol=1e-3)


@pytest.mark.parametrize("block", [7, ROWS, 1000])
def test_the_largest_disagreement_does_not_depend_on_the_blocks(morel, block, monkeypatch):
  from mbrl_jax.algorithms import morel as module
  from mbrl_jax.algorithms.parts.episode_buffer import whole_episodes
  from mbrl_jax.algorithms.parts.policy_improvement import make_improver

  monkeypatch.setattr(module, "_BLOCK", block)
  state = morel[1][0][0]
  improver = make_improver(ENV.spec, CONFIGS["morel"], recent=5)
  rows = whole_episodes(state.learn.real)
  find = lambda active: module._farthest(
    improver, state.learn.world_model.params, rows, jnp.asarray(active)
  )
  np.testing.assert_allclose(jax.jit(find)(True), state.learn.prepared.farthest, rtol=1e-5)
  assert find(False) == 0


@pytest.mark.slow
def test_pessimism_shortens_imagined_episodes(data):
  """The more, the shorter; without it they end at the horizon."""
  lengths, ended = [], []
  for pessimism in (0.0, 1.0, 8.0):
    _, history, _ = train("morel", 1, start=begin(data), pessimism=pessimism)
    lengths.append(float(history[0][1]["imagined_length"]))
    ended.append(float(history[0][1]["imagined_terminated"]))
  assert lengths[0] == 6 > lengths[1] > lengths[2] >= 1
  assert ended[0] == 0 < ended[2]


@pytest.mark.slow
def test_a_halt_adds_its_reward(data):
  returns, ended = [], []
  for halt_reward in (0.0, -10.0):
    _, history, _ = train("morel", 1, start=begin(data), pessimism=8.0, halt_reward=halt_reward)
    returns.append(float(history[0][1]["imagined_return"]))
    ended.append(float(history[0][1]["imagined_terminated"]))
  assert ended[0] == ended[1] > 0
  np.testing.assert_allclose(returns[1] - returns[0], -10 * ended[0], rtol=1e-4)


@pytest.mark.slow
def test_the_policy_starts_as_a_clone_of_the_data(data):
  """Before the first policy step: one of a vanishing size follows."""
  npg = dataclasses.replace(CONFIGS["morel"].npg, step_size=1e-12)
  algorithm, history, _ = train("morel", 1, start=begin(data), cloning_epochs=400, npg=npg)
  state, report = history[0]
  params, carry = algorithm.deploy(acting_params(state.learn.policy))
  act = jax.vmap(lambda obs: algorithm.act(params, carry, obs, jax.random.key(0))[0])
  error = np.square(act(data.obs) - data.action).mean() / 4  # in units of the bounds
  assert error < 0.2 * np.var(np.asarray(data.action) / 2)
  np.testing.assert_allclose(report["cloning_error"], error, rtol=0.3)
  _, untrained, _ = train("morel", 1, start=begin(data), cloning_epochs=0, npg=npg)
  assert untrained[0][1]["cloning_error"] == 0
  np.testing.assert_allclose(policy_of(untrained[0][0]).log_std, policy_of(state).log_std)


@pytest.mark.slow
def test_a_restored_run_continues_bit_for_bit(morel, tmp_path):
  algorithm, history, step = morel
  Checkpoints(tmp_path).save(10, history[1][0], {})
  template = init_state(algorithm, ENV, jax.random.key(9))
  state = Checkpoints(tmp_path).restore(template).state
  for _ in range(2):
    state, _ = step(state)
  equal(state, history[-1][0])


UNKNOWN = ENV.spec._replace(terminated=MissingTermination("pass terminated=fn to it"))


def test_pessimism_replaces_an_unknown_termination():
  assert make_algorithm("morel", UNKNOWN, CONFIGS["morel"])
  with pytest.raises(ValueError, match="pass terminated=fn to it"):
    make_algorithm("morel", UNKNOWN, changed("morel", pessimism=0.0))


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"dataset": ""}, "dataset='' is missing: MOReL learns from recorded"),
    ({"pessimism": -1.0}, "pessimism=-1.0 must be at least 0"),
    ({"cloning_epochs": -1}, "cloning_epochs=-1 must be at least 0"),
    ({"cloning_batch_size": 0}, "cloning_batch_size=0 must be positive"),
    ({"update_every": 0}, "update_every=0 must be positive"),
    ({"world_model": {"members": 1}}, "world_model.members=1 must be at least 2"),
  ],
)
def test_invalid_configs_are_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    make_algorithm("morel", ENV.spec, changed("morel", **changes))


def test_more_rows_than_the_capacity_are_refused():
  algorithm = make_algorithm("morel", ENV.spec, CONFIGS["morel"])
  state = init_state(algorithm, ENV, jax.random.key(0))
  zeros = lambda *shape: jnp.zeros((51, *shape))
  flag = jnp.zeros(51, bool)
  rows = Transition(zeros(3), zeros(1), zeros(), zeros(3), flag, flag)
  with pytest.raises(ValueError, match=r"capacity=50 is less than the 51 transitions.*=51"):
    algorithm.preload.fill(state, rows)
