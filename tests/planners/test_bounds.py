"""Every search can leave a bound, and is invariant to the range of actions."""

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
  make_evaluate,
  make_planner,
  mirror_descent,
  mppi,
  pddm,
  predictive_sampling,
  random_shooting,
)
from mbrl_jax.types import Dynamics

STEPS, SWITCH = 60, 30
SETTINGS = {
  "adam": lambda: adam(8),
  "categorical": lambda: categorical(100, categories=21),
  "cem": lambda: cem(100, 10),
  "dial": lambda: dial(100),
  "icem": lambda: icem(60, 8),
  "mirror_descent": lambda: mirror_descent(100),
  "mppi": lambda: mppi(100, ess_fraction=0.05),
  "pddm": lambda: pddm(100, kappa=100.0),
  "predictive_sampling": lambda: predictive_sampling(100),
  "random_shooting": lambda: random_shooting(400),
}
QUICK = ("cem", "icem", "mirror_descent")


def drive(params, state, action, key):
  """Steps a speed that approaches twice the throttle, normalised to 0 to 1."""
  low, action_range, goal = params
  speed = state + 0.1 * (2 * (action[0] - low) / action_range - state)
  return speed, -jnp.square(speed - goal), jnp.zeros((), bool)


@functools.cache
def controlled(name):
  """Returns a jitted ``(low, high, goals [T]) -> (speeds [T], actions [T])``."""
  search = SETTINGS[name]()

  @jax.jit
  def episode(low, high, goals):
    # The bounds are data in the search's state, so one compiled program serves all of them.
    planner = make_planner(
      search, make_evaluate(Dynamics(drive)), horizon=8, action_low=[0.0], action_high=[1.0],
      iterations=4,
    )  # fmt: skip
    box = jnp.full((8, 1), low), jnp.full((8, 1), high)
    start = planner.init()._replace(search=search.init(*box))

    def body(carry, x):
      goal, key = x
      speed, plan_state = carry
      params = low, high - low, goal
      output, plan_state = planner.plan(params, speed, plan_state, key)
      speed = drive(params, speed, output.action, None)[0]
      return (speed, plan_state), (speed, output.action[0])

    keys = jax.random.split(jax.random.key(0), len(goals))
    return jax.lax.scan(body, (jnp.float32(0.0), start), (goals, keys))[1]

  return episode


def test_every_search_is_listed():
  assert set(SETTINGS) == set(SEARCHES)


@pytest.mark.parametrize(
  "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in SETTINGS]
)
def test_speed_is_held_wherever_zero_lies_in_the_range(name):
  """A speed of 1 needs the middle of the range, a speed of 0.4 a fifth of it."""
  goals = jnp.where(jnp.arange(STEPS) < SWITCH, 1.0, 0.4)
  ranges = [(0.0, 1.0), (-1.0, 0.0), (0.1, 1.1), (-1e-4, 1.0), (-1.0, 1.0), (0.0, 0.01)]
  for low, high in ranges:
    speeds, actions = controlled(name)(low, high, goals)
    assert (low <= np.asarray(actions)).all() and (actions <= high).all()
    np.testing.assert_allclose(speeds[SWITCH - 5 : SWITCH].mean(), 1.0, atol=0.1)
    np.testing.assert_allclose(speeds[-5:].mean(), 0.4, atol=0.1)


def test_cem_appends_zero_well_inside_the_range_and_the_middle_elsewhere():
  low = np.float32([-1.0, -1.0, -0.5, 0.0, -1.0, 0.1, -3.0, -0.01])
  high = np.float32([1.0, 2.0, 3.5, 1.0, 0.0, 1.1, -1.0, 1.0])
  search = cem(8, 2)
  state = search.init(*(jnp.broadcast_to(x, (3, 8)) for x in (low, high)))
  mean = search.shift(state._replace(mean=state.mean + 0.1), 1).mean
  np.testing.assert_allclose(mean[-1], [0, 0, 0, 0.5, -0.5, 0.6, -2.0, 0.495], atol=1e-6)
  np.testing.assert_array_equal(mean[0], state.mean[1] + 0.1)


@pytest.mark.parametrize("near", [0.0, 5e-5])
@pytest.mark.parametrize("low, high", [(0.0, 1.0), (-1.0, 1.0), (-5.0, -4.99), (10.0, 90.0)])
def test_cem_mean_on_a_bound_leaves_it(low, high, near):
  """In four control steps of four iterations, from on or near either bound."""
  search, action_range = cem(100, 10), high - low
  state = search.init(jnp.full((1, 1), low), jnp.full((1, 1), high))
  for bound, inwards in ((low, action_range), (high, -action_range)):
    goal = bound + 0.7 * inwards
    stuck = state._replace(mean=jnp.full((1, 1), bound + near * inwards))
    for t in range(4):
      for i in range(4):
        plans, _ = search.sample(stuck, jax.random.key(4 * t + i), 100)
        assert (plans >= low).all() and (plans <= high).all()
        stuck = search.update(stuck, plans, -jnp.square(plans[:, 0, 0] - goal))
      stuck = stuck._replace(variance=state.variance)
    assert abs(float(stuck.mean[0, 0]) - goal) < 0.1 * action_range


def test_cem_away_from_bounds_samples_by_the_plain_formula():
  """Two sigma of truncated noise stay within bounds; equal bit for bit."""
  from mbrl_jax.ops.noise import truncated_normal

  search = cem(50, 5)
  state = search.init(jnp.full((4, 1), -1.0), jnp.full((4, 1), 1.0))
  state = state._replace(mean=jnp.asarray([[0.0], [0.9], [-0.999], [0.9997]]))
  max_std = jnp.minimum(state.mean + 1.0, 1.0 - state.mean) / 2
  std = jnp.minimum(jnp.sqrt(state.variance), max_std)
  expected = state.mean + std * truncated_normal(jax.random.key(3), (50, 4, 1))
  plans, _ = search.sample(state, jax.random.key(3), 50)
  np.testing.assert_array_equal(plans, jnp.clip(expected, -1.0, 1.0))


@pytest.mark.parametrize("unit", [1.0, 0.06, 1e-3, 1e-9, 3e4])
def test_cem_converges_relative_to_the_range(unit):
  """The first action towards 3 is near the bound; epsilon is a share of the half range."""

  def step(params, x, action, key):
    x = x + action / unit
    return x, -jnp.sum(jnp.square(x - 3.0)), jnp.zeros((), bool)

  box = {"action_low": [-unit], "action_high": [unit]}
  planner = make_planner(
    cem(100, 10), make_evaluate(Dynamics(step)), horizon=4, iterations=5, **box
  )
  output, _ = planner.plan(None, jnp.zeros(1), planner.init(), jax.random.key(0))
  assert output.action[0] > 0.6 * unit
  search = cem(4, 2, epsilon=1e-3)
  state = search.init(jnp.full((1, 1), -unit), jnp.full((1, 1), unit))
  plans = jnp.full((4, 1, 1), 0.5 * unit)
  for share, moves in ((0.9e-3, False), (1.1e-3, True)):
    before = state._replace(variance=jnp.full((1, 1), share * unit**2))
    after = search.update(before, plans, jnp.arange(4.0))
    assert bool((after.mean != before.mean).any()) == moves


def test_iterations_without_change_are_not_counted():
  score = lambda params, state, plans, key: -jnp.sum(jnp.square(plans), axis=(1, 2))
  box = {"action_low": [-1.0], "action_high": [1.0]}
  planner = make_planner(cem(40, 4, epsilon=0.02), score, horizon=2, iterations=9, **box)
  output, state = planner.plan(None, None, planner.init(), jax.random.key(0))
  assert 1 <= int(output.metrics["iterations"]) < 9
  exhaustive = state._replace(search=state.search._replace(epsilon=jnp.float32(0.0)))
  output, _ = planner.plan(None, None, exhaustive, jax.random.key(1))
  assert int(output.metrics["iterations"]) == 9


def test_initial_committed_actions_are_zero_clipped_to_the_bounds():
  """What is scored in front of a plan is what the plant is given before the first action."""
  planner = make_planner(
    cem(8, 2), lambda p, s, plans, k: plans[:, :2].sum((1, 2)), horizon=3, latency=2,
    action_low=[-1.0, 0.0, 0.2, -4.0], action_high=[1.0, 1.0, 1.2, -3.0],
  )  # fmt: skip
  start = planner.init()
  np.testing.assert_allclose(start.committed, [[0, 0, 0.2, -3.0]] * 2)
  output, after = planner.plan(None, None, start, jax.random.key(0))
  np.testing.assert_allclose(output.value, 2 * (0.2 - 3.0), rtol=1e-6)
  np.testing.assert_array_equal(after.committed, [start.committed[1], output.action])


@pytest.mark.parametrize("name", ["cem", "dial", "mirror_descent", "mppi", "pddm"])
def test_mean_of_samples_on_a_bound_is_within_it(name):
  """Weights sum to 1 up to rounding."""
  search, count = SETTINGS[name](), 100
  bounds = np.float32(np.geomspace(0.01, 100.0, 20))[None]
  state = search.init(-jnp.asarray(bounds), jnp.asarray(bounds))
  plans = jnp.broadcast_to(bounds, (count, *bounds.shape))
  update = jax.jit(search.update)
  for i in range(40):
    state = update(state, plans, jax.random.uniform(jax.random.key(i), (count,)))
    assert (search.mean(state) <= bounds).all()
