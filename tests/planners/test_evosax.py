"""The evosax adapter, with a strategy of each family."""

import importlib.util
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.planners import evosax, make_planner

needs_evosax = pytest.mark.skipif(
  importlib.util.find_spec("evosax") is None, reason="the extra evosax is not installed"
)
# A distribution; one whose ask stores its noise; a swarm, whose ask stores velocities.
STRATEGIES = ["CMA_ES", "xNES", "PSO"]
every_strategy = pytest.mark.parametrize("name", STRATEGIES)
LOW, HIGH = np.float32([-1.0, -3.0]), np.float32([2.0, 0.5])
TARGET = np.float32([1.2, -2.0])


def bandit(params, state, plans, key):
  """Scores plans by their distance from a target; NaN for some of them."""
  returns = -jnp.sum(jnp.square(plans - params), axis=(1, 2))
  return jnp.where(plans[:, 0, 0] > 1.5, jnp.nan, returns)


def make(name, **settings):
  box = {"horizon": 2, "action_low": LOW, "action_high": HIGH}
  return make_planner(evosax(name, 32, **settings), bandit, iterations=20, **box)


def is_finite(tree):
  return all(np.isfinite(x).all() for x in jax.tree.leaves(tree))


@needs_evosax
@every_strategy
def test_converges_despite_nan_returns_and_never_retraces(name):
  planner = make(name)
  plan, state = jax.jit(planner.plan), planner.init()
  start = np.sum(np.square((LOW + HIGH) / 2 - TARGET)) * 2
  for i in range(3):
    output, state = plan(TARGET, None, state, jax.random.key(i))
  assert np.sum(np.square(output.plan - TARGET)) < 0.01 * start
  assert output.plan[0, 0] <= 1.5 and is_finite(state.search.strategy)
  assert plan._cache_size() == 1
  plan(TARGET, None, state, jax.random.key(9, impl="rbg"))


@pytest.mark.slow
@needs_evosax
@every_strategy
def test_different_keys_sample_different_plans_within_the_bounds(name):
  planner = make(name)
  search, state = evosax(name, 32), planner.init().search
  for _ in range(2):  # restarted, then continued
    (a, sampled), (b, _) = (search.sample(state, jax.random.key(i), 32) for i in (0, 1))
    a, b = np.asarray(a), np.asarray(b)
    assert (a >= LOW).all() and (a <= HIGH).all()
    assert np.median(np.abs(a - b)) > 0.01
    state = search.update(sampled, a, bandit(TARGET, None, a, None))
  for size in (5, 40):
    assert search.sample(state, jax.random.key(0), size)[0].shape == (size, 2, 2)


@pytest.mark.slow
@needs_evosax
@every_strategy
def test_sample_and_update_equal_evosax_ask_and_tell(name):
  """The loop of evosax reaches the same state with the same keys."""
  from evosax.algorithms import algorithms

  goal = jnp.zeros((2, 2))
  score = lambda plans: -jnp.sum(jnp.square(plans - goal), axis=(1, 2))
  search = evosax(name, 32, noise_scale=0.2)  # bounds wide enough that nothing is clipped
  state = search.init(jnp.full((2, 2), -50.0), jnp.full((2, 2), 50.0))
  reference = algorithms[name](population_size=32, solution=goal)
  params = reference.default_params
  for i in range(3):
    plans, state = search.sample(state, jax.random.key(i), 32)
    start_key, init_key, ask_key = jax.random.split(jax.random.split(jax.random.key(i))[0], 3)
    restart_key, tell_key = jax.random.split(jax.random.key(state.seed))
    state = search.update(state, plans, score(plans))
    if name == "PSO" and i == 0:
      x = jax.random.normal(start_key, (32, 2, 2)).at[0].set(0.0)
      expected = reference.init(restart_key, x, -score(10.0 * x), params)
    else:
      expected = reference.init(init_key, goal, params) if i == 0 else expected
      x, expected = reference.ask(ask_key, expected, params)
      expected, _ = reference.tell(tell_key, x, -score(10.0 * x), expected, params)
    np.testing.assert_allclose(plans, 10.0 * x, rtol=1e-3, atol=1e-3)
  leaves = map(jax.tree.leaves, (state.strategy, expected))
  chex.assert_trees_all_close(*leaves, rtol=1e-2, atol=1e-2)


@needs_evosax
def test_best_plan_wins_and_the_next_replan_starts_there():
  search = evosax("CMA_ES", 32, noise_scale=0.01)
  state = search.init(jnp.broadcast_to(LOW, (3, 2)), jnp.broadcast_to(HIGH, (3, 2)))
  plans, state = search.sample(state, jax.random.key(0), 32)
  proposal = jnp.asarray([[[0.1, -0.1], [0.2, -0.2], [0.3, -0.3]]])
  returns = jnp.full(33, -jnp.inf).at[:5].set(-10.0).at[32].set(0.0)
  state = search.update(state, jnp.concatenate([plans, proposal]), returns)
  assert is_finite(state.strategy)
  np.testing.assert_array_equal(search.mean(state), proposal[0])
  state = search.shift(state, 1)
  np.testing.assert_allclose(search.mean(state), [[0.2, -0.2], [0.3, -0.3], [0.3, -0.3]])
  nearby, state = search.sample(state, jax.random.key(1), 32)
  np.testing.assert_allclose(nearby.mean(0), search.mean(state), atol=0.02)


@needs_evosax
def test_non_finite_returns_become_the_lowest():
  from mbrl_jax.planners.evosax import _finite_returns

  fitness, worst = _finite_returns(jnp.asarray([3.0, -jnp.inf, 1.0]), jnp.float32(-1.0))
  np.testing.assert_array_equal(fitness, [3.0, -5.0, 1.0])
  assert worst == -1.0
  fitness, _ = _finite_returns(jnp.asarray([1e6, -jnp.inf]), jnp.float32(jnp.inf))
  assert np.isfinite(fitness).all() and fitness[1] < fitness[0]


@needs_evosax
def test_params_can_be_set_and_are_data():
  search = evosax("CMA_ES", 2000, noise_scale=0.1, params={"std_init": 0.5})
  state = search.init(jnp.full((1, 2), -4.0), jnp.full((1, 2), 4.0))
  deviation = lambda s: np.asarray(search.sample(s, jax.random.key(0), 2000)[0]).std(0)
  np.testing.assert_allclose(deviation(state), 0.1 * 4.0 * 0.5, rtol=0.1)
  wider = state._replace(params=state.params.replace(std_init=jnp.float32(1.0)))
  np.testing.assert_allclose(deviation(wider), 0.1 * 4.0, rtol=0.1)


@needs_evosax
@pytest.mark.parametrize(
  "build, message",
  [
    (lambda: evosax("CMAES"), "Did you mean 'CMA_ES'"),
    (lambda: evosax(samples=0), "samples=0 must be positive"),
    (lambda: make("CMA_ES", params={"std": 1.0}).init(), "params='std' is not known"),
    (lambda: make("PSO", learning_rate=1.0).init(), "evosax refuses .*learning_rate"),
    (lambda: make("SV_CMA_ES", num_populations=2).init(), "several populations"),
  ],
)
def test_invalid_arguments_are_named(build, message):
  with pytest.raises(ValueError, match=message):
    build()


def test_missing_extra_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, "evosax.algorithms", None)
  monkeypatch.setitem(sys.modules, "evosax", None)
  with pytest.raises(ImportError, match=r"pip install 'mbrl_jax\[evosax\]'"):
    evosax("CMA_ES")
