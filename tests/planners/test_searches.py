"""Contract tests over every search."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.planners import (
  SEARCHES,
  adam,
  categorical,
  cem,
  dial,
  icem,
  make_planner,
  mirror_descent,
  mppi,
  pddm,
  predictive_sampling,
  random_shooting,
)

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
# For tests of the planner loop, which treats all searches alike: most run as slow tests only.
mostly_slow = pytest.mark.parametrize(
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
  """Scores plans by their distance from the target ``params``."""
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
  """Returns a planner and its jitted ``plan``, shared by several tests."""
  planner = bandit_planner(make, iterations)
  return planner, jax.jit(planner.plan)


def test_every_search_is_listed():
  assert {name for name, *_ in SETTINGS} == set(SEARCHES)


@every_search
def test_converges_to_the_optimum_of_a_bandit(make, iterations):
  planner = bandit_planner(make, 30 * iterations, horizon=2)
  output, _ = jax.jit(planner.plan)(TARGET, None, planner.init(), jax.random.key(0))
  start = np.sum((np.broadcast_to((LOW + HIGH) / 2, (2, 2)) - TARGET) ** 2)
  assert np.sum((output.plan - TARGET) ** 2) < 0.1 * start
  np.testing.assert_array_equal(output.action, output.plan[0])


@mostly_slow
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
  # Tunable floats are data as well.
  if hasattr(state.search, "alpha"):
    state = state._replace(search=state.search._replace(alpha=jnp.float32(0.5)))
  plan(jnp.asarray(TARGET), jnp.zeros(3), state, jax.random.key(9))
  assert len(traces) == counted and plan._cache_size() == 1
  with jax.disable_jit():
    eager, _ = planner.plan(
      jnp.asarray(TARGET), jnp.zeros(3), planner.init(), jax.random.key(0)
    )
  np.testing.assert_allclose(eager.plan, first.plan, rtol=1e-4, atol=1e-5)


@mostly_slow
def test_initial_state_can_be_donated(make, iterations):
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
  batched, _ = jax.vmap(plan, (None, None, 0, 0))(TARGET, None, states, keys)
  for i, key in enumerate(keys):
    single, _ = plan(TARGET, None, planner.init(), key)
    np.testing.assert_allclose(batched.plan[i], single.plan, rtol=1e-4, atol=1e-5)


@mostly_slow
def test_samples_stay_within_bounds_and_differ_between_iterations(make, iterations):
  seen = []

  def evaluate(params, state, plans, key):
    jax.debug.callback(lambda x: seen.append(np.asarray(x)), plans, ordered=True)
    return bandit(params, state, plans, key)

  # The target lies in a corner of the bounds, which drives the distribution into it.
  planner = bandit_planner(make, iterations, evaluate)
  jax.block_until_ready(planner.plan(HIGH, None, planner.init(), jax.random.key(0)))
  assert len(seen) == iterations
  for plans in seen:
    assert (plans >= LOW).all() and (plans <= HIGH).all()
    assert np.std(plans, axis=0).max() > 1e-3
  assert not np.allclose(seen[0][:5], seen[1][:5])
  # The noise differs too, not only the mean; gradient searches use none.
  noise = [(p[:5] - p[:5].mean(0)) / (p[:5].std(0) + 1e-6) for p in seen[:2]]
  assert make().gradients or np.abs(noise[0] - noise[1]).max() > 0.1


@every_search
def test_non_finite_returns_never_win(make, iterations):
  def evaluate(params, state, plans, key):
    returns = bandit(params, state, plans, key)
    broken = plans[:, 0, 0] > 0.5  # contains the target
    values = jnp.array([jnp.nan, jnp.inf, -jnp.inf])
    return jnp.where(broken, values[jnp.arange(len(plans)) % 3], returns)

  planner = bandit_planner(make, iterations, evaluate)
  output, state = jax.jit(planner.plan)(TARGET, None, planner.init(), jax.random.key(0))
  assert np.isfinite(output.plan).all() and np.isfinite(output.value)
  assert output.metrics["nonfinite"] > 0
  assert output.plan[0, 0] <= 0.5 + 1e-4
  assert all(np.isfinite(x).all() or x.shape == () for x in jax.tree.leaves(state.search))


@mostly_slow
def test_without_finite_returns_falls_back_to_the_shifted_plan(make, iterations):
  planner, plan = compiled(make, iterations)
  all_nan = lambda p, s, plans, k: jnp.full(len(plans), jnp.nan)
  broken = bandit_planner(make, iterations, all_nan)
  before, state = plan(TARGET, None, planner.init(), jax.random.key(0))
  after, state = broken.plan(TARGET, None, state, jax.random.key(1))
  np.testing.assert_allclose(after.plan[:-1], before.plan[1:], rtol=1e-6)
  assert np.isfinite(after.plan).all() and after.value == -np.inf
  assert after.metrics["nonfinite"] >= iterations
  recovered, _ = plan(TARGET, None, state, jax.random.key(2))
  assert np.isfinite(recovered.value)


@mostly_slow
def test_proposals_compete(make, iterations):
  perfect = lambda params, state, plan_state, key: jnp.broadcast_to(params, (1, 4, 2))
  planner = bandit_planner(make, iterations, proposals=[perfect])
  output, _ = planner.plan(jnp.asarray(TARGET), None, planner.init(), jax.random.key(0))
  assert output.value == 0.0


@mostly_slow
def test_samples_any_number_of_candidates(make, iterations):
  planner = bandit_planner(make, iterations)
  for size in (1, 3, 150):
    plans = planner.sample(planner.init(), jax.random.key(1), size)
    assert plans.shape == (size, 4, 2)
    assert (plans >= LOW).all() and (plans <= HIGH).all()


@mostly_slow
def test_shift_by_zero_steps_keeps_the_plan(make, iterations):
  """Occurs when less than a knot has passed; dtypes equal those after a shift of one step."""
  search = make()
  start = search.init(jnp.broadcast_to(LOW, (4, 2)), jnp.broadcast_to(HIGH, (4, 2)))
  plans, _ = search.sample(start, jax.random.key(0), search.sizes(1)[0])
  returns, *gradients = bandit(TARGET, None, plans, None), 2 * (TARGET - plans)
  state = search.update(start, plans, returns, *gradients[: int(search.gradients)])
  after = search.shift(state, 0)
  np.testing.assert_allclose(search.mean(after), search.mean(state), rtol=1e-6)
  types = lambda state: jax.tree.map(jax.typeof, state)
  assert types(start) == types(state) == types(after) == types(search.shift(state, 1))


@mostly_slow
def test_works_on_knots(make, iterations):
  planner = bandit_planner(make, 5 * iterations, horizon=6, knots=3)
  plan, state, phases = jax.jit(planner.plan), planner.init(), []
  for i in range(5):
    output, state = plan(jnp.asarray(TARGET), None, state, jax.random.key(i))
    phases.append(int(state.phase))
  assert 0 < sum(np.diff(phases) < 0) < 4  # some shifts drop a knot, others do not
  start = np.sum(np.square(np.broadcast_to((LOW + HIGH) / 2, (6, 2)) - TARGET))
  assert np.sum(np.square(output.plan - TARGET)) < 0.5 * start


@mostly_slow
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
