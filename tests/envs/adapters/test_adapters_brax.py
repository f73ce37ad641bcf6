"""from_brax and to_brax, on small environments that compile fast."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmark.peers import brax_trainers
from mbrl_jax import from_brax, make_env, to_brax
from mbrl_jax.algorithms import make_algorithm
from mbrl_jax.algorithms.step import init_state, make_step
from mbrl_jax.ops.env_failure import EnvironmentFailed
from tests.support.runtime_probe import probe_algorithm


@pytest.fixture(scope="module")
def base():
  from brax.envs import base

  return base


@pytest.fixture(scope="module")
def counter(base):
  """A Brax environment that counts, is done at 3, and observes a dictionary."""

  class Counter(base.Env):
    dt = 0.25
    observation_size = {"state": 2, "hidden": 1}  # noqa: RUF012
    action_size = 2
    backend = "none"

    def reset(self, rng):
      place = jax.random.uniform(rng, (2,))
      return self._state(place, jnp.zeros(()), 0)  # a weak type, as careless ones have

    def step(self, state, action):
      count = state.info["count"] + 1
      return self._state(state.obs["state"] + action, jnp.sum(action), count)

    def _state(self, place, reward, count):
      obs = {"state": place, "hidden": place[:1] * 10}
      done = jnp.where(count >= 3, 1.0, 0.0)
      return base.State(None, obs, reward, done, {}, {"count": count})

  return Counter()


def run(env, actions, key):
  step = lambda state, action: env.step(state, action, key)
  return jax.jit(lambda: jax.lax.scan(step, env.reset(key), actions))()


def test_an_adapted_brax_environment_equals_brax_stepped_directly(counter):
  env = from_brax(counter, episode_length=5)
  spec = env.spec
  assert (spec.obs_dim, spec.action_dim, spec.dt, spec.episode_length) == (3, 2, 0.25, 5)
  assert spec.name == "brax:Counter"
  key, actions = jax.random.key(0), jnp.array([[0.5, -0.25], [3.0, 0.0]])
  state, t = run(env, actions, key)
  theirs = counter.reset(jax.random.key_data(key))
  for i, action in enumerate(actions):
    flat = lambda obs: np.r_[obs["hidden"], obs["state"]]
    np.testing.assert_allclose(t.obs[i], flat(theirs.obs), rtol=1e-6)
    theirs = counter.step(theirs, jnp.clip(action, -1, 1))
    np.testing.assert_allclose(t.next_obs[i], flat(theirs.obs), rtol=1e-6)
    np.testing.assert_allclose(t.reward[i], theirs.reward)
  np.testing.assert_array_equal(env.observe(state.physics), state.obs)
  np.testing.assert_array_equal(t.action, actions)


def test_done_terminates_and_the_time_limit_truncates(counter):
  actions = jnp.zeros((4, 2))
  _, t = run(from_brax(counter, episode_length=2), actions, jax.random.key(0))
  assert t.terminated.tolist() == [False, False, True, True]
  assert t.truncated.tolist() == [False, True, False, False]
  never = lambda obs, action, next_obs: jnp.zeros((), bool)
  _, t = run(from_brax(counter, terminated=never), actions, jax.random.key(0))
  assert not t.terminated.any() and t.truncated.tolist() == [False, False, True, True]


def test_observation_parts_and_a_user_s_reward(counter):
  reward = lambda obs, action, next_obs: next_obs[0] - obs[0]
  env = from_brax(counter, parts=("state",), reward=reward)
  _, t = run(env, jnp.full((2, 2), 0.5), jax.random.key(0))
  assert env.spec.obs_dim == 2 and env.spec.reward is reward
  np.testing.assert_allclose(t.reward, [0.5, 0.5], rtol=1e-5)


def test_rewards_of_repeated_actions_are_summed(counter):
  env = from_brax(counter, action_repeat=2)
  state, t = run(env, jnp.full((1, 2), 0.25), jax.random.key(0))
  np.testing.assert_allclose(t.reward, [1.0])
  np.testing.assert_allclose(t.next_obs[0, 1:] - t.obs[0, 1:], [0.5, 0.5], rtol=1e-5)
  assert env.spec.dt == 0.5 and state.physics.info["count"] == 2


def test_the_state_keeps_its_types_in_a_step(counter):
  env = from_brax(counter)
  before = jax.eval_shape(env.reset, jax.random.key(0))
  assert not any(leaf.weak_type for leaf in jax.tree.leaves(before))
  after = jax.eval_shape(lambda s: env.step(s, jnp.zeros(2), None)[0], before)
  assert before == after


def test_training_stores_the_true_final_observation(counter):
  env, algorithm = from_brax(counter, parts=("state",)), probe_algorithm()
  wide = algorithm.act
  act = lambda *inputs: (jnp.ones(2), *wide(*inputs)[1:])
  algorithm = algorithm._replace(act=act)
  step = make_step(algorithm, env, steps=6, seeds=2)
  start = jax.vmap(functools.partial(init_state, algorithm, env))
  _, metrics = step(start(jax.random.split(jax.random.key(0), 2)))
  t = metrics["transition"]
  assert metrics["done"][0].tolist() == [False, False, True] * 2
  np.testing.assert_allclose(t.next_obs - t.obs, np.ones((2, 6, 2)), rtol=1e-5)
  assert not np.allclose(t.obs[:, 3], t.next_obs[:, 2])


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"parts": ("stat",)}, "parts='stat' is not observed.*hidden.*state"),
    ({"backend": "mjx"}, "'backend' is an option for environments given by name"),
    ({"episode_length": 0}, "episode_length=0 must be positive"),
    ({"action_repeat": 0}, "action_repeat=0 must be positive"),
    ({"action_low": 2}, r"action_low=\[2.0, 2.0\] must be below action_high=\[1.0, 1.0\]"),
    (
      {"action_high": [1, 2, 3]},
      r"action_high=.* must be one number or an array of shape \[2\]",
    ),
    ({"action_low": np.nan}, "action_low=.* must be below action_high="),
    ({"reward": lambda o, a, n: n}, r"reward.* must return one number.*float32 \[3\]"),
    ({"terminated": lambda o, a, n: n[0]}, "terminated.* must return one bool"),
  ],
)
def test_invalid_arguments_are_refused(counter, arguments, message):
  with pytest.raises(ValueError, match=message):
    from_brax(counter, **arguments)


@pytest.fixture(scope="module")
def careless(counter):
  """Makes counters whose states a function changes: ``change(state, is_start)``."""

  def make(change):
    class Careless(type(counter)):
      def reset(self, rng):
        return change(super().reset(rng), True)

      def step(self, state, action):
        return change(super().step(state, action), False)

    return from_brax(Careless())

  return make


def test_arrays_of_one_element_are_scalars(careless):
  widen = lambda s, start: s.replace(reward=jnp.ones((1,)) * 0.5, done=s.done.reshape(1) > 0)
  _, t = run(careless(widen), jnp.zeros((3, 2)), jax.random.key(0))
  assert t.reward.tolist() == [0.5] * 3 and t.terminated.tolist() == [False, False, True]


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (
      lambda s, start: s.replace(reward=jnp.zeros((), int) if start else s.reward + 0.5),
      r"brax:Careless turns state.reward from int32 \[\] into float32 \[\] in a step",
    ),
    (
      lambda s, start: s.replace(obs={**s.obs, "hidden": jnp.zeros(1 if start else 2)}),
      r"turns state.obs\['hidden'\] from float32 \[1\] into float32 \[2\]",
    ),
    (
      lambda s, start: s if start else s.replace(info={**s.info, "more": 1}),
      "brax:Careless changes the structure of its state",
    ),
    (
      lambda s, start: s.replace(reward=jnp.zeros(2)),
      r"brax:Careless returns reward of shape \[2\], not one number",
    ),
  ],
)
def test_a_step_that_changes_the_state_s_types_is_reported(careless, change, message):
  env = careless(change)
  with pytest.raises(EnvironmentFailed, match=message):
    jax.eval_shape(env.step, env.reset(jax.random.key(0)), jnp.zeros(2), None)


def test_to_brax_needs_finite_bounds():
  env = make_env("pendulum")
  spec = env.spec._replace(action_high=np.float32([np.inf]))
  with pytest.raises(ValueError, match=r"'pendulum' must have finite bounds.*\[inf\]"):
    to_brax(dataclasses.replace(env, spec=spec))


def test_wrappers_that_hide_the_final_observation_are_refused(counter):
  from brax.envs.wrappers import training

  with pytest.raises(ValueError, match="wrapped in AutoResetWrapper"):
    from_brax(training.AutoResetWrapper(counter))
  with pytest.raises(ValueError, match="wrapped in VmapWrapper"):
    from_brax(training.wrap(counter).env.env)


def test_planning_needs_a_reward(counter):
  env = from_brax(counter)
  with pytest.raises(ValueError, match=r"from_brax\('Counter', reward=fn\)"):
    make_algorithm("pets", env.spec)


def test_unknown_names_suggest_brax_s():
  with pytest.raises(ValueError, match=r"env='an' is not known. Did you mean 'ant'"):
    make_env("brax:an")


@pytest.mark.parametrize("name", ["pendulum", "inverted_pendulum"])
def test_to_brax_and_back_gives_equal_transitions(name):
  env = make_env(name, episode_length=3)
  back = from_brax(to_brax(env), episode_length=3)
  high = jnp.asarray(env.spec.action_high)
  _, t = run(back, jnp.array([[0.5], [-0.25], [2.0]]), jax.random.key(0))
  reset_key, _ = jax.random.split(jax.random.key(0))
  step = lambda state, action: env.step(state, action, reset_key)
  _, ours = jax.lax.scan(step, env.reset(reset_key), high * jnp.array([[0.5], [-0.25], [1.0]]))
  for field in ("obs", "reward", "next_obs", "terminated", "truncated"):
    np.testing.assert_allclose(
      getattr(t, field), getattr(ours, field), rtol=1e-6, err_msg=field
    )


def test_brax_s_wrappers_work_on_to_brax():
  from brax.envs.wrappers import training

  env = to_brax(make_env("pendulum"))
  assert (env.observation_size, env.action_size, env.dt) == (3, 1, 0.05)
  wrapped = training.wrap(env, episode_length=3)
  state = jax.jit(wrapped.reset)(jax.random.split(jax.random.PRNGKey(0), 2))
  first, step, ends = state.obs, jax.jit(wrapped.step), []
  for _ in range(6):
    state = step(state, jnp.full((2, 1), 0.7))
    ends.append([float(state.done[0]), float(state.info["truncation"][0])])
  assert ends == [[0, 0], [0, 0], [1, 1]] * 2
  np.testing.assert_array_equal(state.obs, first)


def test_termination_reaches_brax_as_done_and_the_time_limit_as_truncation():
  env = to_brax(make_env("inverted_pendulum", episode_length=2))
  step, state = jax.jit(env.step), jax.jit(env.reset)(jax.random.PRNGKey(0))
  seen = []
  for _ in range(30):
    state = step(state, jnp.ones(1))
    seen.append((float(state.done), float(state.info["truncation"])))
  assert seen[0] == (0, 0) and seen[1] == (0, 1) and seen[-1] == (1, 0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_brax_s_inverted_pendulum():
  env = make_env("brax:inverted_pendulum", backend="generalized")
  state, t = run(env, jnp.full((30, 1), 1.0), jax.random.key(0))
  assert np.isfinite(t.next_obs).all() and t.terminated[-1] and not t.terminated[0]
  assert env.model.nq == 2 and env.pose(state).shape == (2,)
  np.testing.assert_allclose(env.pose(state), state.obs[:2], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["pendulum", "inverted_pendulum"])
def test_brax_s_ppo_trains_on_to_brax(name):
  from brax.training.agents.ppo import train as ppo

  env = make_env(name, episode_length=16)
  rewards = []
  with brax_trainers.runnable():
    make_policy, params, _ = ppo.train(
      environment=to_brax(env),
      num_timesteps=256,
      episode_length=env.spec.episode_length,
      num_envs=4,
      batch_size=4,
      num_minibatches=2,
      unroll_length=4,
      num_evals=2,
      num_eval_envs=4,
      progress_fn=lambda steps, metrics: rewards.append(metrics["eval/episode_reward"]),
    )
  action, _ = make_policy(params)(jnp.zeros(env.spec.obs_dim), jax.random.PRNGKey(0))
  assert action.shape == (1,) and np.isfinite(rewards).all() and len(rewards) == 2
