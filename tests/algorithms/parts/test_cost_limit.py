"""Plans beyond a cost limit rank last."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms import make_algorithm
from mbrl_jax.algorithms.loop import Config
from mbrl_jax.algorithms.parts.cost_limit import CostState, add_costs, rank_by_cost, zero_cost
from mbrl_jax.algorithms.parts.lookahead import LookaheadConfig
from mbrl_jax.envs import make_env
from mbrl_jax.planners import make_evaluate, make_planner, mirror_descent
from mbrl_jax.types import Dynamics

SPEC = make_env("pendulum").spec
COSTLY = SPEC._replace(cost=lambda obs, action, next_obs: jnp.maximum(action[0], 0.0))


def push(params, obs, action, key):
  """Reward and cost both grow with the action; terminates beyond 5."""
  next_obs = obs.at[0].add(params * action[0])
  return next_obs, action[0], next_obs[0] > 5


def scored(over, limit, plans, temperature=1.0):
  dynamics = add_costs(Dynamics(push, slices=2, params_axes=0), COSTLY)
  evaluate = make_evaluate(dynamics, rank=rank_by_cost(limit, over, temperature))
  plans = jnp.float32(plans)[..., None]
  return evaluate(jnp.array([1.0, 4.0]), zero_cost(jnp.zeros(3)), plans, jax.random.key(0))


def test_plans_beyond_the_limit_rank_below_those_within_it_by_excess():
  # costs 0, 1, 2 and 4; the slice of fourfold steps ends after the first 2 of the last
  found = scored("worst", 1.5, [[-1, -1], [1, 0], [1, 1], [2, 2]])
  np.testing.assert_allclose(found[:2], [-2, 1])
  np.testing.assert_allclose(found[2:], [-2 - 30 - 0.5, -2 - 30 - 2.5])


def test_costs_are_reduced_by_worst_or_mean_and_end_with_a_termination():
  # costs and returns of [2, 2]: 4 in the first slice, 2 in the second, which ends at once
  np.testing.assert_allclose(scored("mean", 3.0, [[2, 2]]), [3.0])
  assert scored("worst", 3.0, [[2, 2]])[0] < 0


def test_plans_with_a_non_finite_return_or_cost_never_win():
  ends = CostState((), jnp.array([[0.0], [0.0], [jnp.nan]]), ())
  found = rank_by_cost(1.0, "worst", 1.0)(jnp.array([1.0, -jnp.inf, 2.0]), ends)
  assert found[0] == 1 and found[1] == -jnp.inf and not jnp.isfinite(found[2])


@pytest.mark.parametrize("utility", ["threshold", "exponential"])
def test_a_planner_keeps_the_limit(utility):
  dynamics = add_costs(Dynamics(push), COSTLY)
  low, high = [-2.0], [2.0]

  def plan(limit):
    score = make_evaluate(dynamics, rank=rank_by_cost(limit, "worst", 1.0))
    evaluate = lambda params, obs, plans, key: score(params, zero_cost(obs), plans, key)
    search = mirror_descent(
      64, utility=utility, covariance="diagonal", elites=8, ess_fraction=0.0
    )
    planner = make_planner(
      search, evaluate, horizon=2, action_low=low, action_high=high, iterations=6
    )
    inputs = jnp.float32(0.1), jnp.zeros(3), planner.init(), jax.random.key(0)
    return jax.jit(planner.plan)(*inputs)[0].plan

  assert np.maximum(plan(1.0), 0).sum() < 1.05
  assert plan(100.0).sum() > 2


def test_a_task_without_cost_and_an_unknown_cost_over_are_rejected():
  config = Config(lookahead=LookaheadConfig(cost_limit=1.0, particles=5))
  with pytest.raises(ValueError, match=r"'pendulum' has none: give its EnvSpec[.]cost"):
    make_algorithm("loop", SPEC, config)
  make_algorithm("loop", COSTLY, config)
  wrong = dataclasses.replace(config.lookahead, cost_over="max")
  with pytest.raises(ValueError, match=r"cost_over='max' is not known"):
    make_algorithm("loop", COSTLY, Config(lookahead=wrong))
