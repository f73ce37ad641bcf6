"""What the loop around every search does: knots, latency, convergence, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.planners import cem, make_evaluate, make_planner, mppi
from mbrl_jax.types import Dynamics, Search

LOW, HIGH = np.float32([-1.0]), np.float32([1.0])
BOX = {"action_low": LOW, "action_high": HIGH}
KEY = jax.random.key(0)


def chase(params, state, plans, key):
  """Scores by the distance from a wave that runs past as ``state`` (the time) grows."""
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
def test_plans_over_knots_follow_a_moving_target(kind):
  knots = {"zero": 10, "linear": 8, "cubic": 6}[kind]
  search = mppi(256, ess_fraction=0.05, noise_scale=0.3)
  planner = make_planner(
    search, chase, horizon=20, iterations=8, knots=knots, interpolation=kind, **BOX
  )
  actions, output, plan_state = run(planner, 20)
  wanted = 0.8 * np.sin(0.4 * np.arange(20))
  assert output.plan.shape == (20, 1) and plan_state.search.mean.shape == (knots, 1)
  assert np.abs(actions[5:] - wanted[5:]).mean() < 0.15


def test_a_plan_of_knots_may_be_executed_to_its_end():
  planner = make_planner(
    cem(16, 4), chase, horizon=6, replan_every=6, knots=3, interpolation="zero", **BOX
  )
  actions, *_ = run(planner, 13)
  assert np.isfinite(actions).all()


def test_knots_everywhere_are_no_knots():
  plain, *_ = run(make_planner(cem(64, 8), chase, horizon=6, iterations=3, **BOX))
  knotted, *_ = run(make_planner(cem(64, 8), chase, horizon=6, iterations=3, knots=6, **BOX))
  np.testing.assert_allclose(plain, knotted, atol=1e-5)


def test_a_cubic_that_overshoots_is_clipped_to_the_bounds():
  square = jnp.sign(jnp.sin(jnp.arange(20)))[:, None]
  edges = lambda params, state, plans, key: jnp.sum(plans * square, axis=(1, 2))
  planner = make_planner(
    cem(128, 8), edges, horizon=20, iterations=5, knots=7, interpolation="cubic", **BOX
  )
  _, output, plan_state = run(planner, 3)
  plans = planner.sample(plan_state, KEY, 50)
  assert plans.shape == (50, 20, 1)
  for x in (output.plan, plans):
    assert float(jnp.max(jnp.abs(x))) <= 1.0


def test_a_proposal_competes_through_its_knots():
  best = jnp.broadcast_to(jnp.float32(0.9), (1, 12, 1))
  far = lambda params, state, plans, key: -jnp.sum((plans - 0.9) ** 2, axis=(1, 2))
  planner = make_planner(
    mppi(16, temperature=1e-4, noise_scale=0.01),
    far,
    horizon=12,
    knots=4,
    proposals=[lambda *_: best],
    **BOX,
  )
  output, _ = planner.plan(None, None, planner.init(), KEY)
  np.testing.assert_allclose(output.plan, best[0], atol=1e-3)


def delayed_plant(latency):
  """Integrates a velocity that arrives ``latency`` steps late."""
  state = {"x": jnp.float32(1.0), "pipe": jnp.zeros((latency, 1))}

  def step(state, action):
    pipe = jnp.concatenate([state["pipe"], action[None]])
    return {"x": state["x"] + pipe[0, 0], "pipe": pipe[1:]}

  return state, step


def step_fn(params, x, action, key):
  following = x + action[0]
  return following, -(following**2), jnp.zeros((), bool)


def regulate(latency, compensated):
  state, step = delayed_plant(latency)
  planner = make_planner(
    cem(300, 20),
    make_evaluate(Dynamics(step_fn)),
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
  """A plant that is three steps late costs its first three steps, and no more."""
  assert regulate(3, compensated=True) < 3.0 + 0.1
  assert regulate(3, compensated=False) > 6.0


def test_committed_actions_are_a_queue():
  planner = make_planner(cem(32, 4), chase, horizon=4, latency=2, replan_every=2, **BOX)
  plan_state, actions = planner.init(), []
  for t in range(5):
    output, plan_state = planner.plan(None, jnp.float32(t), plan_state, jax.random.key(t))
    actions.append(output.action)
  np.testing.assert_array_equal(plan_state.committed, jnp.stack(actions[-2:]))


def test_converged_iterations_stop_early_and_the_tolerance_is_data():
  quiet = lambda params, state, plans, key: -jnp.sum(plans**2, axis=(1, 2))
  make = lambda tolerance: make_planner(
    cem(100, 10, epsilon=0.0), quiet, horizon=3, iterations=40, tolerance=tolerance, **BOX
  )
  planner = make(0.02)
  plan = jax.jit(planner.plan)
  output, _ = plan(None, None, planner.init(), KEY)
  assert 1 < int(output.metrics["iterations"]) < 40
  everything, _ = plan(None, None, planner.init()._replace(tolerance=jnp.float32(-1.0)), KEY)
  assert int(everything.metrics["iterations"]) == 40 and plan._cache_size() == 1
  fixed, _ = make(None).plan(None, None, planner.init(), KEY)
  np.testing.assert_allclose(fixed.plan, everything.plan, atol=1e-6)


def follow_gradient(rate):
  """A search that takes plain gradient steps from one plan."""
  return Search(
    init=lambda low, high: (low + high) / 2,
    sample=lambda state, key, size: (state[None], state),
    update=lambda state, plans, returns, gradients: state + rate * gradients[0],
    mean=lambda state: state,
    shift=lambda state, steps: state,
    sizes=lambda n: (1,) * n,
    gradients=True,
  )


def test_update_gets_the_state_that_sample_returned_unless_no_plan_counts():
  """A search that remembers its draw moves to it; where nothing is finite it forgets it."""
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
  drawn = state.search[1]
  assert (drawn > 0).all()
  np.testing.assert_array_equal(output.plan, drawn)
  _, same = planner.plan(jnp.nan, None, start, KEY)
  jax.tree.map(np.testing.assert_array_equal, same.search, start.search)
  assert planner.sample(start, KEY, 3).shape == start.plan[None].repeat(3, 0).shape


def test_searches_are_handed_exact_gradients_through_knots_and_latency():
  planner = make_planner(
    follow_gradient(0.05),
    lambda p, s, plans, k: -jnp.sum((plans[:, 1:] - 0.5) ** 2, axis=(1, 2)),
    horizon=9,
    iterations=60,
    knots=3,
    latency=1,
    **BOX,
  )
  output, _ = planner.plan(None, None, planner.init(), KEY)
  np.testing.assert_allclose(output.plan, 0.5, atol=1e-3)


def test_gradients_that_are_not_finite_are_zero():
  poisoned = lambda p, s, plans, k: jnp.where(plans[:, 0, 0] > 2, 0.0, jnp.sqrt(plans[:, 0, 0]))
  planner = make_planner(follow_gradient(1.0), poisoned, horizon=2, **BOX)
  output, _ = planner.plan(None, None, planner.init(), KEY)
  np.testing.assert_array_equal(output.plan, 0.0)


@pytest.mark.parametrize(
  "wrong, match",
  [
    ({"knots": 9}, "knots=9 must be 2 to horizon=5"),
    ({"knots": 3, "interpolation": "spline"}, "interpolation='spline'"),
    ({"latency": -1}, "latency=-1 must be at least 0"),
    ({"tolerance": -0.1}, "tolerance=-0.1 must be at least 0"),
  ],
)
def test_wrong_settings_are_named(wrong, match):
  with pytest.raises(ValueError, match=match):
    make_planner(cem(8, 2), chase, horizon=5, **BOX, **wrong)


def test_a_scoring_function_of_the_wrong_shape_is_named():
  total = lambda params, state, plans, key: jnp.sum(plans)
  planner = make_planner(cem(8, 2), total, horizon=5, **BOX)
  with pytest.raises(ValueError, match=r"one return for each of the 8 plans, got shape \(\)"):
    planner.plan(None, None, planner.init(), KEY)


def test_a_proposal_of_the_wrong_shape_is_named():
  lone = lambda *_: jnp.zeros((5, 1))
  planner = make_planner(cem(8, 2), chase, horizon=5, proposals=[lone], **BOX)
  with pytest.raises(ValueError, match=r"\[M, 5, 1\], got \(5, 1\)"):
    planner.plan(None, jnp.float32(0), planner.init(), KEY)
