"""The planner loop: knots, latency, convergence, gradients."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.planners import cem, make_evaluate, make_planner, mppi
from mbrl_jax.types import Dynamics, Search

LOW, HIGH = np.float32([-1.0]), np.float32([1.0])
BOX = {"action_low": LOW, "action_high": HIGH}
KEY = jax.random.key(0)


def wave(params, state, plans, key):
  """Scores plans by their distance from a sine wave that starts at the time ``state``."""
  target = 0.8 * jnp.sin(0.4 * (state + jnp.arange(plans.shape[1])))[:, None]
  return -jnp.sum((plans - target) ** 2, axis=(1, 2))


def run(planner, steps=12):
  plan, plan_state, actions = jax.jit(planner.plan), planner.init(), []
  for t in range(steps):
    output, plan_state = plan(None, jnp.float32(t), plan_state, jax.random.key(t))
    actions.append(float(output.action[0]))
  return np.asarray(actions), output, plan_state


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zero", "linear", "cubic"])
def test_plans_from_knots_follow_a_moving_target(kind):
  knots = {"zero": 10, "linear": 8, "cubic": 6}[kind]
  search = mppi(256, ess_fraction=0.05, noise_scale=0.3)
  planner = make_planner(
    search, wave, horizon=20, iterations=8, knots=knots, interpolation=kind, **BOX
  )
  actions, output, plan_state = run(planner, 20)
  target = 0.8 * np.sin(0.4 * np.arange(20))
  assert output.plan.shape == (20, 1) and plan_state.search.mean.shape == (knots, 1)
  assert np.abs(actions[5:] - target[5:]).mean() < 0.15


def test_plan_from_knots_can_be_executed_to_its_end():
  planner = make_planner(
    cem(16, 4), wave, horizon=6, replan_every=6, knots=3, interpolation="zero", **BOX
  )
  actions, *_ = run(planner, 13)
  assert np.isfinite(actions).all()


def test_a_knot_per_action_equals_no_knots():
  without, *_ = run(make_planner(cem(64, 8), wave, horizon=6, iterations=3, **BOX))
  with_knots, *_ = run(make_planner(cem(64, 8), wave, horizon=6, iterations=3, knots=6, **BOX))
  np.testing.assert_allclose(without, with_knots, atol=1e-5)


def test_cubic_overshoot_is_clipped_to_the_bounds():
  square = jnp.sign(jnp.sin(jnp.arange(20)))[:, None]
  score = lambda params, state, plans, key: jnp.sum(plans * square, axis=(1, 2))
  planner = make_planner(
    cem(128, 8), score, horizon=20, iterations=5, knots=7, interpolation="cubic", **BOX
  )
  _, output, plan_state = run(planner, 3)
  plans = planner.sample(plan_state, KEY, 50)
  assert plans.shape == (50, 20, 1)
  for x in (output.plan, plans):
    assert float(jnp.max(jnp.abs(x))) <= 1.0


def test_proposals_compete_when_searching_knots():
  best = jnp.broadcast_to(jnp.float32(0.9), (1, 12, 1))
  score = lambda params, state, plans, key: -jnp.sum((plans - 0.9) ** 2, axis=(1, 2))
  planner = make_planner(
    mppi(16, temperature=1e-4, noise_scale=0.01),
    score,
    horizon=12,
    knots=4,
    proposals=[lambda *_: best],
    **BOX,
  )
  output, _ = planner.plan(None, None, planner.init(), KEY)
  np.testing.assert_allclose(output.plan, best[0], atol=1e-3)


def delayed_plant(latency):
  """Returns an integrator whose velocity is delayed by ``latency`` steps."""
  state = {"x": jnp.float32(1.0), "delay_line": jnp.zeros((latency, 1))}

  def step(state, action):
    delay_line = jnp.concatenate([state["delay_line"], action[None]])
    return {"x": state["x"] + delay_line[0, 0], "delay_line": delay_line[1:]}

  return state, step


def integrator(params, x, action, key):
  next_x = x + action[0]
  return next_x, -(next_x**2), jnp.zeros((), bool)


def regulate(latency, compensated):
  state, step = delayed_plant(latency)
  planner = make_planner(
    cem(300, 20),
    make_evaluate(Dynamics(integrator)),
    horizon=6,
    iterations=6,
    latency=latency if compensated else 0,
    **BOX,
  )
  plan, plan_state, cost = jax.jit(planner.plan), planner.init(), 0.0
  for t in range(15):
    output, plan_state = plan(None, state["x"], plan_state, jax.random.key(t))
    state = step(state, output.action)
    cost += float(state["x"]) ** 2
  return cost


def test_latency_is_compensated():
  """A delay of three steps costs only the first three steps."""
  assert regulate(3, compensated=True) < 3.0 + 0.1
  assert regulate(3, compensated=False) > 6.0


def test_committed_actions_are_first_in_first_out():
  planner = make_planner(cem(32, 4), wave, horizon=4, latency=2, replan_every=2, **BOX)
  plan_state, actions = planner.init(), []
  for t in range(5):
    output, plan_state = planner.plan(None, jnp.float32(t), plan_state, jax.random.key(t))
    actions.append(output.action)
  np.testing.assert_array_equal(plan_state.committed, jnp.stack(actions[-2:]))


def test_iterations_stop_at_convergence_and_tolerance_is_data():
  score = lambda params, state, plans, key: -jnp.sum(plans**2, axis=(1, 2))
  make = lambda tolerance: make_planner(
    cem(100, 10, epsilon=0.0), score, horizon=3, iterations=40, tolerance=tolerance, **BOX
  )
  planner = make(0.02)
  plan = jax.jit(planner.plan)
  output, _ = plan(None, None, planner.init(), KEY)
  assert 1 < int(output.metrics["iterations"]) < 40
  exhausted, _ = plan(None, None, planner.init()._replace(tolerance=jnp.float32(-1.0)), KEY)
  assert int(exhausted.metrics["iterations"]) == 40 and plan._cache_size() == 1
  fixed, _ = make(None).plan(None, None, planner.init(), KEY)
  np.testing.assert_allclose(fixed.plan, exhausted.plan, atol=1e-6)


def gradient_ascent(rate):
  """Makes a search that takes gradient steps from one plan."""
  return Search(
    init=lambda low, high: (low + high) / 2,
    sample=lambda state, key, size: (state[None], state),
    update=lambda state, plans, returns, gradients: state + rate * gradients[0],
    mean=lambda state: state,
    shift=lambda state, steps: state,
    sizes=lambda n: (1,) * n,
    gradients=True,
  )


def test_update_gets_the_state_from_sample_unless_no_return_is_finite():
  """The search stores its sample in the state and moves to it."""
  search = Search(
    init=lambda low, high: ((low + high) / 2, jnp.zeros_like(low)),
    sample=lambda state, key, size: (
      jnp.broadcast_to(state[0], (size, *state[0].shape)),
      (state[0], jax.random.uniform(key, state[1].shape, jnp.float32)),
    ),
    update=lambda state, plans, returns: (state[1], state[1]),
    mean=lambda state: state[0],
    shift=lambda state, steps: state,
    sizes=lambda n: (2,) * n,
  )
  value = lambda params, state, plans, key: jnp.full(len(plans), params)
  planner = make_planner(search, value, horizon=2, **BOX)
  start = planner.init()
  output, state = planner.plan(1.0, None, start, KEY)
  sampled = state.search[1]
  assert (sampled > 0).all()
  np.testing.assert_array_equal(output.plan, sampled)
  _, unchanged = planner.plan(jnp.nan, None, start, KEY)
  chex.assert_trees_all_equal(unchanged.search, start.search)
  assert planner.sample(start, KEY, 3).shape == start.plan[None].repeat(3, 0).shape


def test_searches_get_exact_gradients_through_knots_and_latency():
  planner = make_planner(
    gradient_ascent(0.05),
    lambda p, s, plans, k: -jnp.sum((plans[:, 1:] - 0.5) ** 2, axis=(1, 2)),
    horizon=9,
    iterations=60,
    knots=3,
    latency=1,
    **BOX,
  )
  output, _ = planner.plan(None, None, planner.init(), KEY)
  np.testing.assert_allclose(output.plan, 0.5, atol=1e-3)


def test_non_finite_gradients_become_zero():
  score = lambda p, s, plans, k: jnp.where(plans[:, 0, 0] > 2, 0.0, jnp.sqrt(plans[:, 0, 0]))
  planner = make_planner(gradient_ascent(1.0), score, horizon=2, **BOX)
  output, _ = planner.plan(None, None, planner.init(), KEY)
  np.testing.assert_array_equal(output.plan, 0.0)


@pytest.mark.parametrize(
  "arguments, match",
  [
    ({"knots": 9}, "knots=9 must be 2 to horizon=5"),
    ({"knots": 3, "interpolation": "spline"}, "interpolation='spline'"),
    ({"latency": -1}, "latency=-1 must be at least 0"),
    ({"tolerance": -0.1}, "tolerance=-0.1 must be at least 0"),
    ({"iterations": 0}, "iterations=0 must be positive"),
    ({"replan_every": 9}, "replan_every=9 exceeds horizon=5"),
    ({"action_high": [np.inf]}, "finite"),
    ({"action_high": [1.0, 2.0]}, r"shape \[A\]"),
  ],
)
def test_invalid_arguments_are_named(arguments, match):
  with pytest.raises(ValueError, match=match):
    make_planner(cem(8, 2), wave, **{"horizon": 5, **BOX, **arguments})


def test_wrong_shape_of_returns_is_named():
  total = lambda params, state, plans, key: jnp.sum(plans)
  planner = make_planner(cem(8, 2), total, horizon=5, **BOX)
  with pytest.raises(ValueError, match=r"one return for each of the 8 plans, got shape \(\)"):
    planner.plan(None, None, planner.init(), KEY)


def test_wrong_shape_of_a_proposal_is_named():
  propose = lambda *_: jnp.zeros((5, 1))
  planner = make_planner(cem(8, 2), wave, horizon=5, proposals=[propose], **BOX)
  with pytest.raises(ValueError, match=r"\[M, 5, 1\], got \(5, 1\)"):
    planner.plan(None, jnp.float32(0), planner.init(), KEY)


def test_dynamics_can_wrap_any_jax_function():
  next_x = lambda x, u: 0.9 * x + u
  step = lambda params, x, u, key: (next_x(x, u), -jnp.sum(x**2), jnp.array(False))
  bounds = {"action_low": [-1.0, -3.0], "action_high": [2.0, 0.5]}
  evaluate = make_evaluate(Dynamics(step))
  planner = make_planner(cem(), evaluate, horizon=4, iterations=3, **bounds)
  output, _ = planner.plan(None, jnp.array([1.0, -1.0]), planner.init(), jax.random.key(0))
  assert output.value < 0
