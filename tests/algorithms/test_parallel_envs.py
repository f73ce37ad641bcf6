"""One learner in several environments."""

from fractions import Fraction

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mbrl_jax.algorithms import init_state, make_algorithm, make_step
from mbrl_jax.algorithms.parts.actor_critic import ActorCriticConfig, gradient_steps
from mbrl_jax.algorithms.sac import Config
from mbrl_jax.algorithms.step import check_envs
from mbrl_jax.envs import make_env
from mbrl_jax.ops.validate import ArgumentError
from mbrl_jax.types import Algorithm, Budget, EnvSpec, EnvState, TrainState, Transition


class Counter:
  """Counts up from a random start; an episode ends at 8."""

  def __init__(self):
    flag = lambda obs, action, next_obs: next_obs[0] >= 8
    bound = np.ones(1, np.float32)
    reward = lambda obs, action, next_obs: next_obs[0]
    self.spec = EnvSpec("counter", 1, -bound, bound, 0.1, 20, reward, flag)

  def reset(self, key):
    start = jax.random.randint(key, (1,), 0, 6).astype(jnp.float32)
    return EnvState(start, start, jnp.int32(0))

  def step(self, state, action, key):
    obs, steps = state.obs + 1, state.steps + 1
    step = state.obs, action, obs
    reward, terminated = self.spec.reward(*step), self.spec.terminated(*step)
    truncated = jnp.zeros((), bool)
    transition = Transition(state.obs, action, reward, obs, terminated, truncated)
    return EnvState(obs, obs, steps), transition

  def pose(self, state):
    return state.obs


def random_actions():
  """Acts at random; the carry counts the steps of the episode and the episodes."""
  act = lambda params, carry, obs, key: (
    jax.random.uniform(key, (1,), minval=-1.0),
    carry + jnp.int32([1, 0]),
    {"carry": carry},
  )
  return Algorithm(
    init=lambda key, envs=1: TrainState(
      jnp.int32(0), jnp.zeros((envs, 2), jnp.int32), None, key, jnp.int32(0)
    ),
    params=lambda state: (),
    act=act,
    reset=lambda params, carry: jnp.stack([0, carry[1] + 1]),
    observe=lambda state, transitions: state._replace(
      learn=state.learn + len(transitions.reward)
    ),
    update=lambda state: (state, {"ran": jnp.ones(())}),
    budget=Budget({"steps": 96}, "steps", steps=96),
    deploy=lambda params: (params, jnp.zeros(2, jnp.int32)),
  )


def run(envs, steps=48, algorithm=None, env=None, **options):
  algorithm, env = algorithm or random_actions(), env or Counter()
  state = init_state(algorithm, env, jax.random.key(5), envs)
  return make_step(algorithm, env, steps=steps, envs=envs, **options)(state)


def rows(metrics, envs, i):
  """Metrics of environment ``i``."""
  return jax.tree.map(lambda x: np.asarray(x)[i::envs], {**metrics, "update": ()})


def test_several_environments_equal_single_ones_with_their_keys():
  """Without learning, each environment runs as it would alone."""
  env, envs, algorithm = Counter(), 3, random_actions()
  metrics = run(envs)[1]
  _, env_key = jax.random.split(jax.random.key(5))
  alone = [env.reset(k) for k in jax.random.split(env_key, envs)]
  carries, (key, _) = [jnp.zeros(2, jnp.int32)] * envs, jax.random.split(jax.random.key(5))
  for t in range(16):
    key, *step_keys = jax.random.split(key, 4)
    keys = [jax.random.split(k, envs) for k in step_keys]
    for i in range(envs):
      action, carries[i], _ = algorithm.act((), carries[i], alone[i].obs, keys[0][i])
      alone[i], row = env.step(alone[i], action, keys[1][i])
      batched = jax.tree.map(lambda x, t=t: x[t], rows(metrics, envs, i)["transition"])
      chex.assert_trees_all_equal(batched, row)
      if row.terminated:
        alone[i], carries[i] = env.reset(keys[2][i]), algorithm.reset((), carries[i])


def test_a_carry_is_reset_with_its_own_environment_only():
  metrics = run(4)[1]
  lengths = set()
  for i in range(4):
    own = rows(metrics, 4, i)
    ends = np.flatnonzero(own["done"])
    carry = own["info"]["carry"]
    for episode, start in enumerate([0, *(ends + 1)]):
      if start < len(carry):
        assert carry[start].tolist() == [0, episode]
    lengths |= set(np.diff([-1, *ends]).tolist())
    alive = ~own["done"][:-1]
    next_obs = own["transition"].next_obs[:-1][alive]
    np.testing.assert_array_equal(own["transition"].obs[1:][alive], next_obs)
  assert len(lengths) > 2, "the environments do not end at different times"


def test_counters_count_environment_steps():
  for envs in (1, 4, 16):
    state, metrics = run(envs)
    assert int(state.steps) == int(state.learn) == 48 == len(metrics["taken"])
    assert state.rollout.episodes.shape == (envs,)
    assert int(state.rollout.episodes.sum()) == metrics["done"].sum() > 0


@pytest.mark.parametrize(
  ("envs", "steps"),
  [
    pytest.param(1, 13, marks=pytest.mark.slow),
    (4, 13),
    pytest.param(8, 14, marks=pytest.mark.slow),
  ],
)
def test_sac_takes_the_same_number_of_random_and_gradient_steps(envs, steps):
  """One gradient step per 4 of 64 steps, from the last of the 16 random ones on."""
  env = make_env("pendulum")
  agent = ActorCriticConfig(hidden=(4,), batch_size=4, updates_per_step=1 / 4)
  config = Config(steps=64, init_steps=16, update_every=64, agent=agent)
  state, metrics = run(envs, 64, make_algorithm("sac", env.spec, config), env)
  assert metrics["info"]["random"].sum() == 16
  assert int(state.learn.buffer.size) == 64
  (_, count), *_ = optax.tree.get_all_with_path(state.learn.sac.opt_state, "count")
  assert int(count) == steps


@pytest.mark.parametrize(
  ("rate", "chunk"), [(0.3, 1), (0.3, 4), (1 / 64, 16), (1 / 3, 5), (2.5, 3), (3, 2)]
)
def test_gradient_steps_are_exact_at_any_rate(rate, chunk):
  """After n steps floor(n rate) have been taken, for any chunk size."""
  taken, exact = 0, Fraction(str(rate)).limit_denominator(1000)
  for total in range(chunk, 400, chunk):
    inner, outer = gradient_steps(rate, jnp.int32(total), chunk)
    taken += inner * int(outer)
    assert taken == int(exact * total)


@pytest.mark.parametrize(
  ("envs", "message"),
  [
    (0, "envs=0 must be positive"),
    (5, "envs=5 does not divide steps=96.*such as steps=100"),
    (128, "envs=128 does not divide steps=96.*such as steps=128"),
  ],
)
def test_an_invalid_number_of_environments_is_rejected(envs, message):
  with pytest.raises(ArgumentError, match=message):
    check_envs(random_actions(), Counter(), envs)


def test_more_environments_than_the_adapter_can_make_are_rejected():
  env = Counter()
  env.max_envs = 1
  with pytest.raises(ArgumentError, match="envs=2 is more than 'counter' can make: 1"):
    run(2, env=env)
  with pytest.raises(ArgumentError, match="steps=5 must be a multiple of envs=2"):
    run(2, steps=5)


@pytest.mark.parametrize("envs", [1, 8])
def test_steps_are_traced_once(envs):
  chex.clear_trace_counter()
  algorithm = random_actions()
  observe = chex.assert_max_traces(algorithm.observe, n=1)
  algorithm = algorithm._replace(observe=observe)
  state = init_state(algorithm, Counter(), jax.random.key(0), envs)
  step = make_step(algorithm, Counter(), steps=16, envs=envs)
  for _ in range(3):
    state, _ = step(state)
  assert int(state.learn) == 48


def test_seeds_times_environments():
  algorithm, env = random_actions(), Counter()
  keys = jax.random.split(jax.random.key(1), 2)
  start = lambda key: init_state(algorithm, env, key, 4)
  both = make_step(algorithm, env, steps=16, envs=4, seeds=2)(jax.vmap(start)(keys))
  for i in range(2):
    one = make_step(algorithm, env, steps=16, envs=4)(start(keys[i]))
    chex.assert_trees_all_equal(jax.tree.map(lambda x, i=i: x[i], both), one)
