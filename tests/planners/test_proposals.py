"""Proposals compete with the samples of a search."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.planners import make_evaluate, make_planner, random_shooting
from mbrl_jax.planners.proposals import policy_plans, previous_plan
from mbrl_jax.types import Dynamics

BOX = {"action_low": np.float32([-1.0]), "action_high": np.float32([1.0])}
KEY = jax.random.key(0)
GAINS = jnp.asarray([0.25, 0.5])


def step(params, x, action, key):
  """An integrator whose gain is its parameter."""
  x = x + params * action[0]
  return x, -(x**2), jnp.zeros((), bool)


ENSEMBLE = Dynamics(step, slices=2, params_axes=0)


def deadbeat(params, x, key):
  """Brings an integrator of gain ``params`` to zero in the fewest steps."""
  return jnp.clip(-x / params, -1.0, 1.0)[None]


def planner(**kwargs):
  evaluate = make_evaluate(ENSEMBLE)
  return make_planner(random_shooting(1), evaluate, horizon=5, **BOX, **kwargs)


def test_policy_plans_are_rollouts_in_each_slice():
  propose = policy_plans(ENSEMBLE, deadbeat, horizon=5, count=4)
  plans = propose(GAINS, jnp.float32(0.6), planner().init(), KEY)
  slow = [-1.0, -1.0, -0.4, 0.0, 0.0]
  fast = [-1.0, -0.2, 0.0, 0.0, 0.0]
  assert plans.shape == (4, 5, 1)
  actions = sorted(np.round(plans[..., 0], 5).tolist())
  np.testing.assert_allclose(actions, sorted([slow, slow, fast, fast]), atol=1e-5)


def test_count_need_not_divide_among_the_slices():
  propose = policy_plans(ENSEMBLE, deadbeat, horizon=3, count=3)
  assert propose(GAINS, jnp.float32(0.6), planner().init(), KEY).shape == (3, 3, 1)


def test_policy_plans_start_after_the_pending_actions():
  start = planner(latency=2).init()._replace(committed=jnp.asarray([[1.0], [-0.5]]))
  propose = policy_plans(Dynamics(step), deadbeat, horizon=3, count=1)
  plans = propose(jnp.float32(0.5), jnp.float32(0.0), start, KEY)
  np.testing.assert_allclose(plans[0, :, 0], [-0.5, 0.0, 0.0], atol=1e-6)


def test_good_policy_beats_few_samples():
  propose = policy_plans(Dynamics(step), deadbeat, horizon=5, count=1)
  evaluate = make_evaluate(Dynamics(step))
  with_policy = make_planner(
    random_shooting(2), evaluate, horizon=5, proposals=[propose], **BOX
  )
  output, _ = with_policy.plan(jnp.float32(0.5), jnp.float32(0.4), with_policy.init(), KEY)
  np.testing.assert_allclose(output.action, -0.8, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2])
def test_previous_plan_gives_random_shooting_a_warm_start(steps):
  """The return of the shifted plan can only be kept or exceeded."""
  evaluate = lambda p, s, plans, k: -jnp.sum((plans - 0.3) ** 2, axis=(1, 2))
  planner = make_planner(
    random_shooting(50),
    evaluate,
    horizon=4,
    replan_every=steps,
    proposals=[previous_plan(steps)],
    **BOX,
  )
  plan, state, values = jax.jit(planner.plan), planner.init(), []
  for t in range(30):
    output, state = plan(None, None, state, jax.random.key(t))
    values.append(float(output.value))
  assert values[-1] > -0.1 and values[-1] > values[0]


def test_invalid_count_is_named():
  with pytest.raises(ValueError, match="count=0 must be positive"):
    policy_plans(ENSEMBLE, deadbeat, horizon=5, count=0)
