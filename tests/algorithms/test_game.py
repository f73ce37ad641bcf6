"""PAL and MAL: when they learn, what they store, that the policy improves; refusals."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from game_cases import CONFIGS, ENV, changed, policy_of, train

from mbrl_jax.algorithms import init_state, make_algorithm, make_evaluation, make_step
from mbrl_jax.algorithms.parts.episode_buffer import whole_episodes
from mbrl_jax.algorithms.parts.gaussian_actor import PolicyConfig
from mbrl_jax.algorithms.parts.value_baseline import BaselineConfig
from mbrl_jax.envs import make_env
from mbrl_jax.learners import npg
from mbrl_jax.ops.missing import MissingTermination
from mbrl_jax.runtime.storage.checkpoint import Checkpoints


def equal(a, b):
  plain = lambda x: (
    jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
  )
  jax.tree.map(lambda x, y: np.testing.assert_array_equal(plain(x), plain(y)), a, b)


def moved(a, b):
  pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  return any((np.asarray(x) != np.asarray(y)).any() for x, y in pairs)


@pytest.fixture(scope="module")
def pal():
  return train("pal", 4)


def test_learning_starts_after_the_initial_steps(pal):
  algorithm, history, _ = pal
  start = init_state(algorithm, ENV, jax.random.key(0))
  states, reports = zip(*history, strict=True)
  assert [int(s.steps) for s in states] == [20, 40, 60, 80]
  assert [float(r["ran"]) for r in reports] == [0, 1, 1, 1]
  equal(start.learn.policy, states[0].learn.policy)
  equal(start.learn.world_model, states[0].learn.world_model)
  assert reports[0]["fit_steps"] == reports[0]["refused"] == reports[0]["kl"] == 0
  for before, after in itertools.pairwise(states):
    assert moved(policy_of(before), policy_of(after))
    assert moved(before.learn.world_model.params, after.learn.world_model.params)
  for report in reports[1:]:
    assert all(np.isfinite(x).all() for x in report.values())
    assert report["refused"] == report["nonfinite_rows"] == 0
    assert report["imagined_length"] == 6 and report["imagined_terminated"] == 0
    assert report["kl_target"] == pytest.approx(0.025) and 0 < report["kl"] < 1


def test_the_model_is_fitted_to_whole_episodes_as_they_were_executed(pal):
  """Of 80 steps the buffer of 60 has lost the first 20, and so two episodes of 15."""
  _, history, _ = pal
  state, report = history[-1]
  assert [int(r["rows"]) for _, r in history] == [20, 40, 60, 50]
  rows = whole_episodes(state.learn.real)
  assert rows.size == 50 and int(state.learn.fitted) == 80
  data = jax.tree.map(lambda x: np.asarray(x)[:50], rows.data)
  assert data.truncated.nonzero()[0].tolist() == [14, 29, 44]
  assert np.abs(data.action).max() <= 2 and (np.abs(data.action) == 2).any()
  within = ~data.truncated[:-1]
  np.testing.assert_array_equal(data.next_obs[:-1][within], data.obs[1:][within])
  reward = jax.vmap(ENV.spec.reward)(data.obs, data.action, data.next_obs)
  np.testing.assert_allclose(data.reward, reward, rtol=1e-4, atol=1e-4)
  initial = np.asarray(state.learn.real.initial.data)[: int(state.learn.real.initial.size)]
  assert len(initial) == 6  # of the episodes that have an action, lost ones included
  np.testing.assert_array_equal(initial[2:5], data.obs[[0, 15, 30]])
  assert int(report["fit_steps"]) == 2 * -(-50 // 16)


@pytest.mark.slow
def test_a_restored_run_continues_bit_for_bit(pal, tmp_path):
  algorithm, history, step = pal
  Checkpoints(tmp_path).save(40, history[1][0], {})
  template = init_state(algorithm, ENV, jax.random.key(9))
  state = Checkpoints(tmp_path).restore(template).state
  for _ in range(2):
    state, metrics = step(state)
  equal(state, history[-1][0])
  equal(metrics["update"], history[-1][1])


@pytest.mark.slow
def test_a_step_is_traced_once():
  chex.clear_trace_counter()
  algorithm = make_algorithm("pal", ENV.spec, CONFIGS["pal"])
  counted = algorithm._replace(
    observe=chex.assert_max_traces(algorithm.observe, n=1),
    update=chex.assert_max_traces(algorithm.update, n=1),
  )
  state = init_state(counted, ENV, jax.random.key(0))
  step = make_step(counted, ENV, steps=20)
  for _ in range(3):
    state, _ = step(state)
  assert int(state.steps) == 60


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pal", "mal"])
def test_seeds_by_vmap_equal_single_runs(name):
  _, several, _ = train(name, 2, seeds=[5, 0])
  _, single, _ = train(name, 2)
  compare = lambda a, b: np.testing.assert_allclose(a[1], b, rtol=2e-3, atol=2e-3)
  jax.tree.map(compare, policy_of(several[-1][0]), policy_of(single[-1][0]))
  assert moved(*(jax.tree.map(lambda x, i=i: x[i], policy_of(several[-1][0])) for i in (0, 1)))


@pytest.mark.slow
def test_several_environments_share_a_learner():
  _, history, _ = train("pal", 4, envs=4)
  state, report = history[-1]
  assert int(state.steps) == 80 and int(state.learn.real.stored) == 80
  # the rows of the four running episodes and those before them in the ring
  rows = whole_episodes(state.learn.real)
  data = jax.tree.map(lambda x: np.asarray(x)[: int(rows.size)], rows.data)
  assert report["rows"] == rows.size > 0
  assert [float(r["ran"]) for _, r in history] == [0, 1, 1, 1]
  # rows of one time step follow each other
  np.testing.assert_array_equal(data.next_obs[:-4][:4], data.obs[4:8])


@pytest.mark.slow
def test_actions_held_for_two_steps_count_as_environment_steps():
  """15 steps are 7 actions and one that ends after a step."""
  algorithm, history, _ = train("pal", 4, action_repeat=2, horizon=0)
  states = [state for state, _ in history]
  assert [int(s.steps) for s in states] == [20, 40, 60, 80]
  assert [int(s.learn.real.stored) for s in states] == [10, 21, 32, 42]
  assert history[-1][1]["imagined_length"] == 8
  rows = whole_episodes(states[-1].learn.real)
  data = jax.tree.map(lambda x: np.asarray(x)[: int(rows.size)], rows.data)
  assert data.truncated.nonzero()[0].tolist() == [7, 15, 23, 31, 39]
  # step 20 ends an action of the second episode, whose last is step 29; then a third begins
  _, metrics = make_step(algorithm, ENV, steps=20)(states[0])
  actions = np.asarray(metrics["transition"].action)[:, 0]
  firsts = [1, 3, 5, 7, 10, 12, 14, 16, 18]
  held = np.split(actions, [*firsts[:4], 9, *firsts[4:]])
  assert [len(part) for part in held] == [1, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2]
  assert all((part == part[0]).all() for part in held)
  assert len({part[0] for part in held}) > 8  # clipped ones may be equal


@pytest.mark.slow
def test_a_learned_reward_is_used_and_reported():
  _, history, _ = train("pal", 4, world_model={"learn_reward": True, "reward_hidden": (8,)})
  state, report = history[-1]
  assert report["reward_error"] > 0 and np.isfinite(report["imagined_return"])
  assert [x.tolist() for x in state.learn.world_model.reward_opt_state.count[None]] == [
    [int(state.learn.world_model.opt_state.count)] * 2
  ]


@pytest.mark.slow
def test_start_states_may_come_from_the_buffer():
  _, plain, _ = train("pal", 2)
  _, mixed, _ = train("pal", 2, buffer_share=1.0)
  assert moved(policy_of(plain[-1][0]), policy_of(mixed[-1][0]))
  assert plain[-1][1]["imagined_return"] != mixed[-1][1]["imagined_return"]
  equal(plain[-1][0].learn.world_model, mixed[-1][0].learn.world_model)


def test_a_deployed_policy_acts_by_its_mean(pal):
  algorithm, history, _ = pal
  state = history[-1][0]
  params, carry = algorithm.deploy(algorithm.params(state))
  obs = jnp.float32([0.3, -0.2, 0.9])
  actions = [algorithm.act(params, carry, obs, jax.random.key(i))[0] for i in range(2)]
  np.testing.assert_array_equal(*actions)
  learner = state.learn.policy.learner.params
  weights = learner.net
  hidden = np.tanh(obs @ weights["layer_0"]["kernel"] + weights["layer_0"]["bias"])
  mean = hidden @ weights["layer_1"]["kernel"] + weights["layer_1"]["bias"]
  np.testing.assert_allclose(actions[0], 2 * np.clip(mean, -1, 1), rtol=1e-5)
  samples = [
    algorithm.act(algorithm.params(state), carry, obs, jax.random.key(i))[1].sampled
    for i in range(100)
  ]
  error = (np.stack(samples) - mean) / np.exp(learner.log_std)
  assert abs(error.mean()) < 0.4 and abs(error.std() - 1) < 0.3


POINT_MASS = {
  "steps": 450, "init_steps": 250, "update_every": 50, "capacity": 1000,
  "policy_steps": 5, "paths": 40, "horizon": 0,
  "world_model": {"hidden": (32, 32), "epochs": 20, "members": 2, "batch_size": 16},
  "policy": PolicyConfig(hidden=(16,)), "baseline": BaselineConfig(hidden=(32,)),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("sign", [1, -1])
def test_the_policy_improves_in_the_model_and_in_the_task(sign, monkeypatch):
  """And gets worse along the opposite of the natural gradient."""
  solve = npg.conjugate_gradient
  along = lambda *args, **more: jax.tree.map(lambda x: sign * x, solve(*args, **more))
  monkeypatch.setattr(npg, "conjugate_gradient", along)
  env = make_env("point_mass", "mjx")
  algorithm, history, _ = train("pal", 9, env=env, **POINT_MASS)
  returns = [float(r["imagined_return"]) for _, r in history[4:]]
  evaluate = make_evaluation(algorithm, env, episodes=20)
  first, last = (
    float(evaluate(algorithm.params(history[i][0]), jax.random.key(1))["return"].mean())
    for i in (0, -1)
  )
  assert all(float(r["refused"]) == 0 for _, r in history[4:])
  assert sign * (returns[-1] - returns[0]) > 5, returns
  assert sign * (last - first) > 3, (first, last)


def test_steps_in_a_model_that_is_not_finite_are_refused(pal):
  """The policy and the baseline stay as they are, and the steps are counted."""
  algorithm, history, _ = pal
  state = history[1][0]
  model = state.learn.world_model
  network = jax.tree.map(lambda x: x.at[:].set(jnp.nan), model.params.change.network)
  params = model.params._replace(change=model.params.change._replace(network=network))
  learn = state.learn._replace(world_model=model._replace(params=params))
  after, report = jax.jit(algorithm.update)(state._replace(learn=learn))
  learner, before = after.learn.policy.learner, state.learn.policy.learner
  assert report["refused"] == learner.refused == 2 and before.refused == 0
  equal(learner._replace(refused=before.refused), before)
  assert report["kl"] == report["imagined_length"] == report["imagined_return"] == 0


UNKNOWN = ENV.spec._replace(terminated=MissingTermination("pass terminated=fn to it"))


@pytest.mark.parametrize(
  ("name", "spec", "changes", "message"),
  [
    ("pal", UNKNOWN, {}, "pass terminated=fn to it"),
    ("mal", UNKNOWN, {}, "pass terminated=fn to it"),
    ("pal", ENV.spec, {"obs_scale": (1.0,)}, r"obs_scale=\(1.0,\) has 1 factors for an enc"),
    ("pal", ENV.spec, {"obs_scale": (1.0, 0.0, 1.0)}, "obs_scale=.* must be positive"),
    ("pal", ENV.spec, {"capacity": 15}, "capacity=15 is smaller than a batch, world_model.bat"),
    (
      "pal", ENV.spec._replace(episode_length=100), {},
      "capacity=60 is less than the 100 actions of an episode of each environment: set "
      "capacity=100",
    ),
    ("pal", ENV.spec, {"buffer_share": 1.5}, "buffer_share=1.5 must lie between 0.0 and 1.0"),
    ("pal", ENV.spec, {"action_repeat": 0}, "^action_repeat=0 must be positive"),
    ("pal", ENV.spec, {"world_model": {"members": 1}}, "world_model.members=1 must be at le"),
    ("pal", ENV.spec, {"policy": PolicyConfig(log_std=3.0)}, "policy.log_std=3.0 must be bet"),
  ],
)  # fmt: skip
def test_invalid_configs_are_refused(name, spec, changes, message):
  with pytest.raises(ValueError, match=message):
    make_algorithm(name, spec, changed(name, **changes))


def test_more_environments_than_the_buffer_can_hold_are_refused():
  algorithm = make_algorithm("pal", ENV.spec, CONFIGS["pal"])
  assert init_state(algorithm, ENV, jax.random.key(0), envs=4)
  with pytest.raises(ValueError, match=r"capacity=60 is less than the 75 actions.*=75"):
    init_state(algorithm, ENV, jax.random.key(0), envs=5)


def test_repeated_actions_need_a_smaller_buffer():
  spec = ENV.spec._replace(episode_length=100)
  assert make_algorithm("pal", spec, changed("pal", action_repeat=2))
