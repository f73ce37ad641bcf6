"""Contracts that every search keeps, over one list of them all."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.envs import double_integrator, env_dynamics, make_env, optimal_return
from mbrl_jax.planners import (
  SEARCHES,
  adam,
  categorical,
  cem,
  dial,
  icem,
  make_evaluate,
  make_planner,
  mirror_descent,
  mppi,
  pddm,
  predictive_sampling,
  random_shooting,
)
from mbrl_jax.types import Dynamics

# Name, factory, iterations.
SETTINGS = [
  ("random_shooting", lambda: random_shooting(200), 2),
  ("cem", lambda: cem(100, 10), 4),
  ("icem", lambda: icem(60, 10, sample_decay=1.0), 4),
  ("mppi", lambda: mppi(100, ess_fraction=0.05), 4),
  ("pddm", lambda: pddm(100, kappa=20.0, noise_scale=0.5), 4),
  ("mirror_descent", lambda: mirror_descent(100, covariance="full", step_size=0.8), 4),
  ("categorical", lambda: categorical(100, step_size=0.5), 4),
  ("predictive_sampling", lambda: predictive_sampling(100), 4),
  ("dial", lambda: dial(100), 4),
  ("adam", lambda: adam(8), 4),
]
every_search = pytest.mark.parametrize(
  "make, iterations", [s[1:] for s in SETTINGS], ids=[s[0] for s in SETTINGS]
)
# What the loop around them does alike for all: two by default, the others among the slow tests.
each_by_turns = pytest.mark.parametrize(
  "make, iterations",
  [
    pytest.param(*s[1:], marks=() if s[0] in ("icem", "categorical") else pytest.mark.slow)
    for s in SETTINGS
  ],
  ids=[s[0] for s in SETTINGS],
)
LOW, HIGH = np.float32([-1.0, -3.0]), np.float32([2.0, 0.5])
TARGET = np.float32([1.2, -2.0])


def bandit(params, state, plans, key):
  """Scores plans by their distance from a target, whatever the state."""
  return -jnp.sum((plans - params) ** 2, axis=(1, 2))


def bandit_planner(make, iterations, evaluate=bandit, horizon=4, **kwargs):
  return make_planner(
    make(),
    evaluate,
    horizon=horizon,
    action_low=LOW,
    action_high=HIGH,
    iterations=iterations,
    **kwargs,
  )


@functools.cache
def compiled(make, iterations):
  """Returns a planner and its jitted ``plan``, which several tests share."""
  planner = bandit_planner(make, iterations)
  return planner, jax.jit(planner.plan)


def test_every_search_is_under_test():
  assert {name for name, *_ in SETTINGS} == set(SEARCHES)


@every_search
def test_converges_to_the_optimum_of_a_bandit(make, iterations):
  planner = bandit_planner(make, 30 * iterations, horizon=2)
  output, _ = jax.jit(planner.plan)(TARGET, None, planner.init(), jax.random.key(0))
  start = np.sum((np.broadcast_to((LOW + HIGH) / 2, (2, 2)) - TARGET) ** 2)
  assert np.sum((output.plan - TARGET) ** 2) < 0.1 * start
  np.testing.assert_array_equal(output.action, output.plan[0])


@each_by_turns
def test_jit_equals_eager_and_never_retraces(make, iterations):
  traces = []

  def evaluate(params, state, plans, key):
    traces.append(1)
    return bandit(params, state, plans, key)

  planner = bandit_planner(make, 2, evaluate)
  plan = jax.jit(planner.plan)
  state, first = planner.init(), None
  for i in range(3):
    params = jnp.asarray(TARGET) * (1 + i)
    output, state = plan(params, jnp.zeros(3), state, jax.random.key(i))
    first = output if first is None else first
    if i == 0:
      counted = len(traces)
  # Floats that a user tunes are data as well.
  if hasattr(state.search, "alpha"):
    state = state._replace(search=state.search._replace(alpha=jnp.float32(0.5)))
  plan(jnp.asarray(TARGET), jnp.zeros(3), state, jax.random.key(9))
  assert len(traces) == counted and plan._cache_size() == 1
  with jax.disable_jit():
    eager, _ = planner.plan(
      jnp.asarray(TARGET), jnp.zeros(3), planner.init(), jax.random.key(0)
    )
  np.testing.assert_allclose(eager.plan, first.plan, rtol=1e-4, atol=1e-5)


@each_by_turns
def test_the_initial_state_may_be_donated(make, iterations):
  planner = bandit_planner(make, iterations)
  plan = jax.jit(planner.plan, donate_argnums=2)
  _, state = plan(jnp.asarray(TARGET), None, planner.init(), jax.random.key(0))
  output, _ = plan(jnp.asarray(TARGET), None, state, jax.random.key(1))
  assert np.isfinite(output.value)


@pytest.mark.slow
@every_search
def test_vmap_equals_a_loop(make, iterations):
  planner, plan = compiled(make, iterations)
  keys = jax.random.split(jax.random.key(3), 3)
  states = jax.vmap(lambda _: planner.init())(jnp.arange(3))
  together, _ = jax.vmap(plan, (None, None, 0, 0))(TARGET, None, states, keys)
  for i, key in enumerate(keys):
    alone, _ = plan(TARGET, None, planner.init(), key)
    np.testing.assert_allclose(together.plan[i], alone.plan, rtol=1e-4, atol=1e-5)


@each_by_turns
def test_samples_stay_within_bounds_and_differ_between_iterations(make, iterations):
  seen = []

  def evaluate(params, state, plans, key):
    jax.debug.callback(lambda x: seen.append(np.asarray(x)), plans, ordered=True)
    return bandit(params, state, plans, key)

  # The target lies in a corner, which drives the distribution into it.
  planner = bandit_planner(make, iterations, evaluate)
  jax.block_until_ready(planner.plan(HIGH, None, planner.init(), jax.random.key(0)))
  assert len(seen) == iterations
  for plans in seen:
    assert (plans >= LOW).all() and (plans <= HIGH).all()
    assert np.std(plans, axis=0).max() > 1e-3
  assert not np.allclose(seen[0][:5], seen[1][:5])
  # The noise differs as well, not only the mean it is added to; gradients use none.
  shapes = [(p[:5] - p[:5].mean(0)) / (p[:5].std(0) + 1e-6) for p in seen[:2]]
  assert make().gradients or np.abs(shapes[0] - shapes[1]).max() > 0.1


@every_search
def test_non_finite_returns_never_win(make, iterations):
  def evaluate(params, state, plans, key):
    returns = bandit(params, state, plans, key)
    broken = plans[:, 0, 0] > 0.5  # would win: the target lies there
    values = jnp.array([jnp.nan, jnp.inf, -jnp.inf])
    return jnp.where(broken, values[jnp.arange(len(plans)) % 3], returns)

  planner = bandit_planner(make, iterations, evaluate)
  output, state = jax.jit(planner.plan)(TARGET, None, planner.init(), jax.random.key(0))
  assert np.isfinite(output.plan).all() and np.isfinite(output.value)
  assert output.metrics["nonfinite"] > 0
  assert output.plan[0, 0] <= 0.5 + 1e-4
  assert all(np.isfinite(x).all() or x.shape == () for x in jax.tree.leaves(state.search))


@each_by_turns
def test_nothing_finite_falls_back_to_the_shifted_plan(make, iterations):
  planner, plan = compiled(make, iterations)
  nowhere = lambda p, s, plans, k: jnp.full(len(plans), jnp.nan)
  broken = bandit_planner(make, iterations, nowhere)
  before, state = plan(TARGET, None, planner.init(), jax.random.key(0))
  after, state = broken.plan(TARGET, None, state, jax.random.key(1))
  np.testing.assert_allclose(after.plan[:-1], before.plan[1:], rtol=1e-6)
  assert np.isfinite(after.plan).all() and after.value == -np.inf
  assert after.metrics["nonfinite"] >= iterations
  recovered, _ = plan(TARGET, None, state, jax.random.key(2))
  assert np.isfinite(recovered.value)


@each_by_turns
def test_proposals_compete(make, iterations):
  perfect = lambda params, state, plan_state, key: jnp.broadcast_to(params, (1, 4, 2))
  planner = bandit_planner(make, iterations, proposals=[perfect])
  output, _ = planner.plan(jnp.asarray(TARGET), None, planner.init(), jax.random.key(0))
  assert output.value == 0.0


@each_by_turns
def test_draws_any_number_of_candidates(make, iterations):
  planner = bandit_planner(make, iterations)
  for size in (1, 3, 150):
    plans = planner.sample(planner.init(), jax.random.key(1), size)
    assert plans.shape == (size, 4, 2)
    assert (plans >= LOW).all() and (plans <= HIGH).all()


@each_by_turns
def test_a_shift_of_no_step_keeps_the_plan(make, iterations):
  """Less than a knot has passed; the state has the types that a shift of one step leaves."""
  search = make()
  start = search.init(jnp.broadcast_to(LOW, (4, 2)), jnp.broadcast_to(HIGH, (4, 2)))
  plans, _ = search.sample(start, jax.random.key(0), search.sizes(1)[0])
  returns, *gradients = bandit(TARGET, None, plans, None), 2 * (TARGET - plans)
  state = search.update(start, plans, returns, *gradients[: int(search.gradients)])
  after = search.shift(state, 0)
  np.testing.assert_allclose(search.mean(after), search.mean(state), rtol=1e-6)
  types = lambda state: jax.tree.map(jax.typeof, state)
  assert types(start) == types(state) == types(after) == types(search.shift(state, 1))


@each_by_turns
def test_works_on_knots(make, iterations):
  planner = bandit_planner(make, 5 * iterations, horizon=6, knots=3)
  plan, state, phases = jax.jit(planner.plan), planner.init(), []
  for i in range(5):
    output, state = plan(jnp.asarray(TARGET), None, state, jax.random.key(i))
    phases.append(int(state.phase))
  assert 0 < sum(np.diff(phases) < 0) < 4  # some shifts drop a knot, others do not
  start = np.sum(np.square(np.broadcast_to((LOW + HIGH) / 2, (6, 2)) - TARGET))
  assert np.sum(np.square(output.plan - TARGET)) < 0.5 * start


@each_by_turns
def test_replan_every_replays_the_plan(make, iterations):
  planner = bandit_planner(make, iterations, replan_every=3)
  plan, state, outputs = jax.jit(planner.plan), planner.init(), []
  for i in range(4):
    output, state = plan(TARGET, None, state, jax.random.key(i))
    outputs.append(output)
  for i in range(3):
    np.testing.assert_array_equal(outputs[i].action, outputs[0].plan[i])
    np.testing.assert_array_equal(outputs[i].plan, outputs[0].plan)
  assert not np.array_equal(outputs[3].plan, outputs[0].plan)
  assert plan._cache_size() == 1


@pytest.mark.parametrize(
  "make, iterations, share",
  [
    (lambda: random_shooting(4000), 5, 0.03),
    (lambda: cem(200, 20), 12, 0.001),
    (lambda: icem(100, 10, sample_decay=1.0, noise_exponent=0.5), 12, 0.01),
    (lambda: mppi(200, ess_fraction=0.05, noise_scale=0.2), 12, 0.01),
    (lambda: pddm(200, kappa=20.0, beta=0.9, noise_scale=0.2), 12, 0.01),
    (
      lambda: mirror_descent(200, utility="threshold", elites=20, covariance="diagonal"),
      12,
      0.001,
    ),
    (lambda: categorical(200, categories=41, utility="threshold", elites=20), 12, 0.01),
    (lambda: predictive_sampling(200, noise_scale=0.2), 12, 0.02),
    (lambda: dial(200, iteration_decay=0.6), 12, 0.001),
    (lambda: adam(8, learning_rate=0.03), 60, 0.001),
  ],
  ids=[
    "random_shooting",
    "cem",
    "icem",
    "mppi",
    "pddm",
    "mirror_descent",
    "categorical",
    "predictive_sampling",
    "dial",
    "adam",
  ],
)
def test_reaches_the_riccati_value(make, iterations, share):
  """Plans of the linear-quadratic probe come within a share of the known optimum."""
  env, obs, horizon = make_env("linear_quadratic"), np.float32([1.0, -0.5]), 3
  state = env.reset(jax.random.key(0))
  state = state._replace(
    physics=state.physics._replace(qpos=jnp.asarray(obs)), obs=jnp.asarray(obs)
  )
  evaluate = make_evaluate(env_dynamics(env))
  bounds = {"action_low": env.spec.action_low, "action_high": env.spec.action_high}
  planner = make_planner(make(), evaluate, horizon=horizon, iterations=iterations, **bounds)
  output, _ = jax.jit(planner.plan)(None, state, planner.init(), jax.random.key(1))
  reached = evaluate(None, state, output.plan[None], jax.random.key(2))[0]
  best = optimal_return(double_integrator(), obs, horizon)
  assert reached <= best + 1e-4
  assert best - reached < share * abs(best)


@pytest.mark.parametrize(
  "make, message",
  [
    (lambda: cem(samples=10, elites=20), "elites=20 exceed samples=10"),
    (lambda: cem(alpha=1.5), "alpha=1.5 must lie between 0.0 and 1.0"),
    (lambda: cem(samples=0), "samples=0 must be positive"),
    (lambda: icem(samples=10, elites=6), "elites=6"),
    (lambda: icem(sample_decay=0.5), "sample_decay=0.5"),
    (lambda: mppi(temperature=0.0), "temperature=0.0 must be positive"),
    (lambda: mirror_descent(utility="treshold"), "Did you mean 'threshold'"),
    (lambda: mirror_descent(covariance="ful"), "Did you mean 'full'"),
    (lambda: mirror_descent(utility="expected", covariance="full"), "='full' must be 'fixed'"),
    (lambda: mirror_descent(divergence="euclidean", covariance="full"), "'euclidean' moves"),
    (lambda: mirror_descent(divergence="euclidian"), "Did you mean 'euclidean'"),
    (lambda: mirror_descent(tail="repeet"), "Did you mean 'repeat'"),
    (lambda: mirror_descent(9, elites=20, utility="threshold"), "elites=20 exceed samples=9"),
    (lambda: categorical(categories=1), "categories=1 must be at least 2"),
    (lambda: categorical(utility="expected"), "divergence='kl' must be 'euclidean' with"),
    (lambda: categorical(forget=1.0), "forget=1.0 must lie between 0.0 and 0.99"),
    (lambda: predictive_sampling(noise_scale=0.0), "noise_scale=0.0 must be positive"),
    (lambda: dial(iteration_decay=1.5), "iteration_decay=1.5 must lie between"),
    (lambda: adam(learning_rate=-0.1), "learning_rate=-0.1 must be positive"),
    (lambda: mirror_descent(step_size=1.5), "step_size=1.5 must lie between"),
    (lambda: mppi(ess_fraction=2.0), "ess_fraction=2.0 must lie between 0.0 and 1.0"),
    (lambda: bandit_planner(cem, 0), "iterations=0 must be positive"),
    (lambda: bandit_planner(cem, 1, replan_every=9), "replan_every=9 exceeds horizon=4"),
    (
      lambda: make_planner(cem(), bandit, horizon=3, action_low=[0.0], action_high=[np.inf]),
      "finite",
    ),
    (
      lambda: make_planner(cem(), bandit, horizon=3, action_low=[0.0], action_high=[1.0, 2.0]),
      r"shape \[A\]",
    ),
  ],
)
def test_bad_arguments_are_named(make, message):
  with pytest.raises(ValueError, match=message):
    make()


def test_icem_population_decays_and_keeps_its_elites():
  sizes, seen = icem(samples=40, elites=5, sample_decay=2.0).sizes(4), []
  assert sizes == (40, 20, 10, 10)

  def evaluate(params, state, plans, key):
    seen.append(plans.shape[0])
    return bandit(params, state, plans, key)

  planner = bandit_planner(lambda: icem(40, 5, sample_decay=2.0), 4, evaluate)
  jax.jit(planner.plan).lower(TARGET, None, planner.init(), jax.random.key(0))
  assert sorted(set(seen), reverse=True) == [40, 20, 10]

  search = icem(40, 10, keep_fraction=0.3)
  state = search.init(jnp.zeros((4, 2)), jnp.ones((4, 2)))
  plans, state = search.sample(state, jax.random.key(0), 40)
  state = search.update(state, plans, jnp.arange(40.0))
  again, state = search.sample(state, jax.random.key(1), 40)
  for best in plans[-3:]:
    assert (np.abs(again - best).max((1, 2)) < 1e-6).any()


def test_cem_update_matches_the_closed_form():
  search = cem(samples=6, elites=2, alpha=0.25)
  state = search.init(jnp.full((1, 1), -4.0), jnp.full((1, 1), 4.0))
  np.testing.assert_allclose(state.variance, [[4.0]])
  plans = jnp.array([0.0, 1.0, 2.0, 3.0, -1.0, -2.0]).reshape(6, 1, 1)
  state = search.update(state, plans, jnp.array([0.0, 5.0, 1.0, 7.0, -jnp.inf, 2.0]))
  np.testing.assert_allclose(state.mean, [[0.75 * 2.0]])
  np.testing.assert_allclose(state.variance, [[0.25 * 4.0 + 0.75 * 1.0]])
  shifted = search.shift(state, 1)
  np.testing.assert_allclose(shifted.mean, [[0.0]])
  np.testing.assert_allclose(shifted.variance, [[4.0]])


def test_cem_keeps_two_sigma_within_bounds_and_stops_at_epsilon():
  search = cem(samples=500, elites=5)
  state = search.init(jnp.full((1, 1), -1.0), jnp.full((1, 1), 1.0))
  near = state._replace(mean=jnp.full((1, 1), 0.9))
  plans, _ = search.sample(near, jax.random.key(0), 500)
  assert plans.min() >= 0.8 and plans.max() <= 1.0  # two sigma are 0.1 there
  done = state._replace(variance=jnp.full((1, 1), 1e-3))
  after = search.update(done, plans, jnp.arange(500.0))
  np.testing.assert_array_equal(after.mean, done.mean)


def test_elites_without_a_finite_return_have_no_weight():
  search = cem(samples=4, elites=3, alpha=0.0)
  state = search.init(jnp.full((1, 1), -4.0), jnp.full((1, 1), 4.0))
  returns = jnp.array([1.0, -jnp.inf, -jnp.inf, -jnp.inf])
  state = search.update(state, jnp.array([2.0, 3.0, 3.0, 3.0]).reshape(4, 1, 1), returns)
  np.testing.assert_allclose(state.mean, [[2.0]])


def test_planner_accepts_dynamics_from_a_foreign_function():
  foreign = lambda x, u: 0.9 * x + u
  step = lambda params, x, u, key: (foreign(x, u), -jnp.sum(x**2), jnp.array(False))
  planner = bandit_planner(lambda: cem(), 3, make_evaluate(Dynamics(step)))
  output, _ = planner.plan(None, jnp.array([1.0, -1.0]), planner.init(), jax.random.key(0))
  assert output.value < 0
