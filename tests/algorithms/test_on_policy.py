"""NPG and TRPO on batches of the current policy."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_walk import ENVS, Walk, begin, configured, made

from mbrl_jax.algorithms import make_algorithm, make_evaluation, make_step, npg
from mbrl_jax.algorithms.parts.gaussian_actor import PolicyConfig
from mbrl_jax.algorithms.parts.natural_gradient import TRPOConfig
from mbrl_jax.algorithms.parts.value_baseline import BaselineConfig
from mbrl_jax.envs import make_env
from mbrl_jax.learners import policy_gradient
from mbrl_jax.runtime.storage.checkpoint import Checkpoints

TRPO = pytest.param("trpo", marks=pytest.mark.slow)


def assert_equal(tree, other):
  plain = lambda x: (
    jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
  )
  chex.assert_trees_all_equal(jax.tree.map(plain, tree), jax.tree.map(plain, other))


def test_statistics_are_those_of_all_steps_and_change_between_batches_only():
  _, algorithm, state, step = made()
  gamma, seen, discounted, means = configured().npg.discount, [], [], [0.0]
  running = np.zeros(ENVS)
  for _ in range(3):
    before = algorithm.params(state).scaling
    state, metrics = step(state)
    x = np.asarray(metrics["transition"].obs, np.float64)[:, 0]
    seen += np.stack([x, 2 * x + 7, 0 * x + 3], 1).tolist()
    rewards, done = np.asarray(metrics["transition"].reward, float), metrics["done"]
    ended = []
    for t, (reward, end) in enumerate(zip(rewards, done, strict=True)):
      running[t % ENVS] += reward
      if end:
        ended.append(running[t % ENVS])
        running[t % ENVS] = 0
    means.append(np.mean(ended) if ended else means[-1])
    for i in range(ENVS):
      total = 0.0
      for reward, end in [*zip(rewards[i::ENVS], done[i::ENVS], strict=True)][::-1]:
        total = reward + gamma * total * (not end)
        discounted.append(total)
    update = metrics["update"]
    np.testing.assert_allclose(update["batch_return"], means[-1], rtol=1e-4)
    scale = np.sqrt(np.mean(np.square(discounted)))
    np.testing.assert_allclose(update["return_scale"], scale, rtol=1e-4)
    after = algorithm.params(state).scaling
    assert np.abs(after.mean - before.mean).max() > 1e-3
    expected = np.array(seen)
    np.testing.assert_allclose(after.mean, expected.mean(0), rtol=1e-4)
    np.testing.assert_allclose(after.scale, [*expected.std(0)[:2], 1], rtol=1e-3)
  assert len({round(x, 6) for x in means}) == 4 and state.learn.observations.rows == 36


def test_without_an_ended_episode_the_last_return_is_repeated():
  """And without scaling observations stay as they are."""
  env = Walk()
  algorithm, state = begin(env, configured(batch=3, scale_observations=False))
  step, found, known = make_step(algorithm, env, steps=3, envs=ENVS), [], [0.0]
  for _ in range(12):
    state, metrics = step(state)
    found.append(float(metrics["update"]["batch_return"]))
    if metrics["done"].any():
      known.append(float(metrics["episode_return"][metrics["done"]].mean()))
    np.testing.assert_allclose(found[-1], known[-1], rtol=1e-5)
  assert 2 < len(known) < 12 and found[0] == 0
  scaling = algorithm.params(state).scaling
  np.testing.assert_array_equal([scaling.mean, scaling.scale], [[0] * 3, [1] * 3])


def test_a_shorter_last_chunk_learns_from_its_own_steps_only():
  env, algorithm, state, step = made()
  state, _ = step(state)
  spoil = lambda x: jnp.full_like(x, jnp.nan) if x.dtype == jnp.float32 else x
  old = state.learn.batch
  spoilt = old._replace(
    transition=jax.tree.map(spoil, old.transition), sampled=spoil(old.sampled)
  )
  short = make_step(algorithm, env, steps=6, envs=ENVS)
  plain, metrics = short(state)
  other, again = short(state._replace(learn=state.learn._replace(batch=spoilt)))
  for name in ("learner", "observations", "returns", "episodes"):
    assert_equal(getattr(plain.learn, name), getattr(other.learn, name))
  assert_equal(metrics["update"], again["update"])
  assert metrics["update"]["refused"] == 0 and plain.learn.observations.rows == 18


def test_a_non_finite_step_is_refused_and_counted_and_the_next_batch_is_used():
  _, algorithm, state, step = made()
  state, _ = step(state)
  bad = state.rollout.env._replace(obs=state.rollout.env.obs.at[0].set(jnp.nan))
  before = state.learn.learner
  state, metrics = step(state._replace(rollout=state.rollout._replace(env=bad)))
  update = metrics["update"]
  assert update["refused"] == update["refused_total"] == 1 and update["nonfinite_rows"] > 0
  chex.assert_tree_all_finite((update, algorithm.params(state)))
  assert_equal(before.params, state.learn.learner.params)
  # The reset ends what was not finite; running returns of that episode are not reported.
  state, metrics = step(state)
  assert metrics["update"]["refused"] == 0 and metrics["update"]["refused_total"] == 1
  chex.assert_tree_all_finite(metrics["update"])


@pytest.mark.parametrize("target", ["monte_carlo", "lambda_return"])
def test_the_baseline_knows_the_time_only_if_its_target_ends_with_the_episode(target):
  config = configured(
    npg=npg.NPGConfig(value_target=target), baseline=BaselineConfig(kind="linear")
  )
  algorithm, state = begin(Walk(), config)
  rng, old = np.random.default_rng(0), state.learn.batch
  batch = old._replace(
    transition=old.transition._replace(reward=jnp.float32(rng.normal(size=old.time.shape))),
    time=jnp.tile(jnp.arange(old.time.shape[1], dtype=jnp.int32), (ENVS, 1)),
    filled=jnp.int32(old.time.shape[1]),
  )
  update = jax.jit(
    lambda batch: (
      algorithm.update(state._replace(learn=state.learn._replace(batch=batch)))[
        0
      ].learn.learner.baseline.weights
    )
  )
  weights = update(batch)
  later = update(batch._replace(time=batch.time + 50))
  assert (np.abs(weights - later).max() > 1e-4) == (target == "monte_carlo")


@pytest.mark.parametrize("algo", ["npg", TRPO])
def test_a_run_resumes_bit_for_bit_and_is_traced_once(algo, tmp_path):
  env, _, start, step = made(algo)
  checkpoints = Checkpoints(tmp_path / "checkpoints")
  whole, traces = start, []
  for chunk in range(4):
    whole, metrics = step(whole)
    traces.append(env.traces)
    if chunk == 1:
      checkpoints.save(24, whole)
  assert step._cache_size() == 1 and len(set(traces)) == 1
  assert metrics["update"]["ran"] == 1 and metrics["update"]["kl"] > 0
  half = checkpoints.restore(start, None).state
  for _ in range(2):
    half, again = step(half)
  assert_equal(whole, half)
  assert_equal(metrics["update"], again["update"])


@pytest.mark.parametrize("algo", ["npg", "trpo"])
def test_the_mean_action_is_deployed(algo):
  env = make_env("pendulum", episode_length=6)
  algorithm, state = begin(env, envs=1, algo=algo)
  params = algorithm.params(state)
  evaluate = make_evaluation(algorithm, env, episodes=2)
  a, b = (evaluate(params, jax.random.key(3))["transition"].action for _ in range(2))
  np.testing.assert_array_equal(a, b)
  deployed, carry = algorithm.deploy(params)
  obs = env.reset(jax.random.key(0)).obs
  first, second = (algorithm.act(deployed, carry, obs, jax.random.key(k))[0] for k in (0, 1))
  np.testing.assert_array_equal(first, second)
  explored = algorithm.act(params, carry, obs, jax.random.key(0))[0]
  assert np.abs(explored - first).max() > 1e-2


class Target(Walk):
  """The reward is that of the action: 0.75 of the way from the lower to the upper bound."""

  def __init__(self):
    super().__init__()
    reward = lambda obs, action, next_obs: -jnp.square(action[0] - 1.0)
    never = lambda obs, action, next_obs: jnp.zeros((), bool)
    self.spec = self.spec._replace(reward=reward, terminated=never)


def distance_learned(algo):
  """Returns how far the mean action is from the best one after 40 updates."""
  env = Target()
  config = configured(algo, steps=12_000, batch=300)
  if algo == "npg":  # its steps do not get shorter near the optimum
    config = dataclasses.replace(config, npg=dataclasses.replace(config.npg, step_size=0.02))
  algorithm, state = begin(env, config, algo=algo)
  step = make_step(algorithm, env, steps=300, envs=ENVS)
  for _ in range(40):
    state, _ = step(state)
  deployed, carry = algorithm.deploy(algorithm.params(state))
  obs = jnp.linspace(-1.0, 1.0, 9)[:, None]
  action = jax.vmap(lambda obs: algorithm.act(deployed, carry, obs, jax.random.key(0))[0])(obs)
  return float(jnp.abs(action - 1.0).mean())


@pytest.mark.parametrize("algo", ["npg", TRPO])
def test_a_known_best_action_is_learned_only_with_the_right_sign(algo, monkeypatch):
  assert distance_learned(algo) < 0.2  # 0.5 at first
  standardize = policy_gradient.masked_standardize
  flipped = lambda x, mask: -standardize(x, mask)
  monkeypatch.setattr(policy_gradient, "masked_standardize", flipped)
  assert distance_learned(algo) > 0.7


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"steps": 0}, "steps=0 must be positive"),
    ({"batch": 0}, "batch=0 must be positive"),
    ({"policy": PolicyConfig(hidden=(0,))}, r"policy.hidden=\(0,\) must be positive"),
    ({"policy": PolicyConfig(log_std=2.0)}, r"policy.log_std=2.0 must be between policy.min"),
    ({"baseline": BaselineConfig(kind="gp")}, "baseline.kind='gp' is not known"),
    ({"baseline": BaselineConfig(learning_rate=0.0)}, "baseline.learning_rate=0.0 must be pos"),
    ({"npg": npg.NPGConfig(step_size=0.0)}, "npg.step_size=0.0 must be positive"),
    ({"npg": npg.NPGConfig(discount=1.5)}, "npg.discount=1.5 must lie between"),
    ({"npg": npg.NPGConfig(value_target="td")}, "npg.value_target='td' is not known"),
  ],
)
def test_invalid_configs_are_rejected(changes, message):
  with pytest.raises(ValueError, match=message):
    make_algorithm("npg", Walk().spec, configured(**changes))


def test_environments_must_divide_the_batch():
  message = r"envs=5 does not divide batch=12.*such as batch=15"
  with pytest.raises(ValueError, match=message):
    begin(Walk(), envs=5)


@pytest.mark.parametrize("algo", ["npg", TRPO])
def test_a_warm_start_takes_policy_and_scaling_of_another_run(algo):
  """The scaling counts as that of many steps: a batch hardly moves it."""
  _, source, other, step = made()
  for _ in range(3):
    other, _ = step(other)
  _, algorithm, state, step = made(algo)
  warm = algorithm.warm_start(state, source.params(other))
  chex.assert_trees_all_close(algorithm.params(warm), source.params(other), rtol=1e-6)
  after, _ = step(warm)
  mean = lambda state: algorithm.params(state).scaling.mean
  assert 0 < np.abs(mean(after) - mean(warm)).max() < 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("accept_first", [False, True])
def test_trpo_can_be_told_to_accept_its_first_step_only(accept_first):
  """No length of a step improves by nine times the linear prediction."""
  env = Walk()
  config = configured("trpo", trpo=TRPOConfig(accept_first=accept_first))
  algorithm, state = begin(env, config, algo="trpo")
  learner = state.learn.learner
  floats = learner.hyperparams._replace(accept_fraction=jnp.float32(9.0))
  learn = state.learn._replace(learner=learner._replace(hyperparams=floats))
  step, state = make_step(algorithm, env, steps=12, envs=ENVS), state._replace(learn=learn)
  for refused in (not accept_first, True, True):
    before = algorithm.params(state).policy
    state, metrics = step(state)
    assert metrics["update"]["refused"] == refused
    same = jax.tree.map(lambda a, b: (a == b).all(), before, algorithm.params(state).policy)
    assert all(jax.tree.leaves(same)) == refused
  assert step._cache_size() == 1
