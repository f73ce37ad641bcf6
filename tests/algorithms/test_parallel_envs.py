"""One learner in several environments at once."""

from fractions import Fraction

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
  """Counts from a random start; an episode is over when it reaches 8."""

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
    judged = state.obs, action, obs
    ends = self.spec.terminated(*judged), jnp.zeros((), bool)
    return EnvState(obs, obs, steps), Transition(
      state.obs, action, self.spec.reward(*judged), obs, *ends
    )

  def pose(self, state):
    return state.obs


def random_actions():
  """Draws actions; its carry counts the steps of the episode and the episodes."""
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


def test_several_environments_are_as_many_single_ones_with_their_keys():
  """Nothing is learned, so each is what it would be alone."""
  env, envs, algorithm = Counter(), 3, random_actions()
  metrics = run(envs)[1]
  _, env_key = jax.random.split(jax.random.key(5))
  alone = [env.reset(k) for k in jax.random.split(env_key, envs)]
  carries, (key, _) = [jnp.zeros(2, jnp.int32)] * envs, jax.random.split(jax.random.key(5))
  for t in range(16):
    key, *of_step = jax.random.split(key, 4)
    keys = [jax.random.split(k, envs) for k in of_step]
    for i in range(envs):
      action, carries[i], _ = algorithm.act((), carries[i], alone[i].obs, keys[0][i])
      alone[i], row = env.step(alone[i], action, keys[1][i])
      of_env = rows(metrics, envs, i)
      jax.tree.map(
        lambda got, want, t=t: np.testing.assert_array_equal(got[t], want),
        of_env["transition"],
        row,
      )
      if row.terminated:
        alone[i], carries[i] = env.reset(keys[2][i]), algorithm.reset((), carries[i])


def test_a_carry_is_reset_with_its_environment_alone():
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
    goes_on = ~own["done"][:-1]
    kept = own["transition"].next_obs[:-1][goes_on]
    np.testing.assert_array_equal(own["transition"].obs[1:][goes_on], kept)
  assert len(lengths) > 2, "the environments do not end at different times"


def test_counters_count_environment_steps():
  for envs in (1, 4, 16):
    state, metrics = run(envs)
    assert int(state.steps) == int(state.learn) == 48 == len(metrics["taken"])
    assert state.rollout.episodes.shape == (envs,)
    assert int(state.rollout.episodes.sum()) == metrics["done"].sum() > 0


@pytest.mark.parametrize(("envs", "steps"), [(1, 13), (4, 13), (8, 14)])
def test_sac_takes_as_many_random_and_gradient_steps(envs, steps):
  """A gradient step each 4 of 64, from the step on that ends the 16 random ones."""
  env = make_env("pendulum")
  agent = ActorCriticConfig(hidden=(4,), batch_size=4, updates_per_step=1 / 4)
  config = Config(steps=64, init_steps=16, update_every=64, agent=agent)
  state, metrics = run(envs, 64, make_algorithm("sac", env.spec, config), env)
  assert metrics["info"]["random"].sum() == 16
  assert int(state.learn.buffer.size) == 64
  (_, count), *_ = optax.tree.get_all_with_path(state.learn.sac.opt_state, "count")
  assert int(count) == steps


@pytest.mark.parametrize(
  ("rate", "bundle"), [(0.3, 1), (0.3, 4), (1 / 64, 16), (1 / 3, 5), (2.5, 3), (3, 2)]
)
def test_gradient_steps_are_exact_at_any_rate(rate, bundle):
  """After n steps floor(n rate) have been taken, however the steps are bundled."""
  taken, exact = 0, Fraction(str(rate)).limit_denominator(1000)
  for total in range(bundle, 400, bundle):
    inner, outer = gradient_steps(rate, jnp.int32(total), bundle)
    taken += inner * int(outer)
    assert taken == int(exact * total)


@pytest.mark.parametrize(
  ("envs", "says"),
  [
    (0, "envs=0 must be positive"),
    (5, "envs=5 does not divide steps=96.*such as steps=100"),
    (128, "envs=128 does not divide steps=96.*such as steps=128"),
  ],
)
def test_a_number_that_does_not_fit_is_refused(envs, says):
  with pytest.raises(ArgumentError, match=says):
    check_envs(random_actions(), Counter(), envs)


def test_more_than_an_adapter_can_make_is_refused():
  env = Counter()
  env.max_envs = 1
  with pytest.raises(ArgumentError, match="envs=2 is more than 'counter' can make: 1"):
    run(2, env=env)
  with pytest.raises(ArgumentError, match="steps=5 must be a multiple of envs=2"):
    run(2, steps=5)


@pytest.mark.parametrize("envs", [1, 8])
def test_the_number_of_environments_traces_nothing_twice(envs):
  algorithm, traced = random_actions(), []

  def observe(state, transitions):
    traced.append(len(transitions.reward))
    return state._replace(learn=state.learn + len(transitions.reward))

  algorithm = algorithm._replace(observe=observe)
  state = init_state(algorithm, Counter(), jax.random.key(0), envs)
  step = make_step(algorithm, Counter(), steps=16, envs=envs)
  for _ in range(3):
    state, _ = step(state)
  assert traced == [envs]


def test_seeds_times_environments():
  algorithm, env = random_actions(), Counter()
  keys = jax.random.split(jax.random.key(1), 2)
  start = lambda key: init_state(algorithm, env, key, 4)
  both = make_step(algorithm, env, steps=16, envs=4, seeds=2)(jax.vmap(start)(keys))
  for i in range(2):
    one = make_step(algorithm, env, steps=16, envs=4)(start(keys[i]))
    got = jax.tree.map(lambda x, i=i: x[i], both)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(one), strict=True):
      if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
        a, b = jax.random.key_data(a), jax.random.key_data(b)
      np.testing.assert_array_equal(a, b)
