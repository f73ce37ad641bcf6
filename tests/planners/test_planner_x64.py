"""Planning with ``JAX_ENABLE_X64``: planners stay float32, states keep their dtypes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.envs import env_dynamics, make_env
from mbrl_jax.planners import (
  SEARCHES,
  cem,
  make_evaluate,
  make_planner,
  make_predict,
  policy_plans,
  previous_plan,
)
from mbrl_jax.types import Dynamics

KEY = jax.random.key(0)
BOX = {"action_low": [-1.0], "action_high": [1.0]}
ARGUMENTS = {"categorical": {"elites": 4}, "cem": {"elites": 4}, "icem": {"elites": 4}}
ARGUMENTS |= {
  "mirror_descent": {"elites": 4, "covariance": "full"},
  "mppi": {"ess_fraction": 0.2},
}
QUICK = ("cem", "mirror_descent")


def mixed(params, state, action, key):
  """Steps a state of several dtypes without casts."""
  x = state["x"] + 0.1 * action
  drift = jnp.zeros(()) + 0.01 * jax.random.normal(key, dtype=jnp.float32)
  next_state = {"x": x, "v": state["v"] + drift, "t": state["t"] + 1}
  return next_state, -jnp.sum(jnp.square(x - 1)), x[0] > 50


def initial_state(dtype):
  return {"x": jnp.zeros(1, dtype), "v": jnp.zeros((), jnp.float32), "t": jnp.int32(0)}


def planned(name, dtype):
  dynamics = Dynamics(mixed)
  policy = lambda params, state, key: jnp.tanh(1 - state["x"])
  planner = make_planner(
    SEARCHES[name](16, **ARGUMENTS.get(name, {})),
    make_evaluate(dynamics, particles=2, discount=0.9),
    horizon=5,
    knots=3,
    iterations=2,
    latency=1,
    proposals=[previous_plan(), policy_plans(dynamics, policy, horizon=5)],
    **BOX,
  )
  output, state = jax.jit(planner.plan)(None, initial_state(dtype), planner.init(), KEY)
  types = {str(x.dtype) for x in jax.tree.leaves((output, state))}
  assert types <= {"float32", "int32", "bool"}
  return np.asarray(output.plan)


@pytest.mark.parametrize(
  "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in SEARCHES]
)
def test_every_search_plans_the_same_with_x64(name):
  plain = planned(name, jnp.float32)
  with jax.enable_x64(True):
    # With x64 the powers in optax's bias correction are computed differently.
    np.testing.assert_allclose(planned(name, jnp.float32), plain, atol=2e-6 * (name == "adam"))
    np.testing.assert_allclose(planned(name, jnp.float64), plain, atol=1e-3)


@pytest.mark.parametrize("shuffle", [False, True])
def test_state_and_reward_sums_keep_their_dtypes(shuffle):
  with jax.enable_x64(True):
    dynamics = Dynamics(mixed, shuffle=shuffle)
    states = make_predict(dynamics)(None, initial_state(jnp.float64), jnp.ones((4, 1)), KEY)
    assert {k: str(v.dtype) for k, v in states.items()} == {
      "x": "float64",
      "v": "float32",
      "t": "int32",
    }
    np.testing.assert_allclose(states["x"][:, 0, 0], 0.1 * np.arange(5), rtol=1e-6)
    # A float32 sum of 1e9 would absorb every 1 that is added to it.
    step = lambda p, s, a, k: (s + 1, jnp.where(s == 0, 1e9, 1.0) + s * 0, False)
    tail = lambda p, s, k: jnp.asarray(-1e9)
    evaluate = make_evaluate(Dynamics(step, shuffle=shuffle), terminal=tail)
    returns = evaluate(None, jnp.zeros((), jnp.float64), jnp.zeros((2, 9, 1)), KEY)
    assert returns.dtype == jnp.float32
    np.testing.assert_array_equal(returns, 8.0)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_action_does_not_promote_a_narrow_state(dtype):
  step = lambda p, s, a, k: (s + a, -jnp.sum(jnp.square(s)), False)
  evaluate = make_evaluate(Dynamics(step))
  returns = evaluate(None, jnp.zeros(1, dtype), jnp.ones((2, 3, 1)), KEY)
  np.testing.assert_array_equal(returns, -(0 + 1 + 4))


def test_leaf_of_another_kind_is_rejected():
  step = lambda p, s, a, k: (jnp.round(s).astype(jnp.int32), s, False)
  with (
    jax.enable_x64(True),
    pytest.raises(ValueError, match=r"int32\[\], but state has float64"),
  ):
    make_evaluate(Dynamics(step))(None, jnp.zeros(()), jnp.zeros((1, 2, 1)), KEY)


def test_environments_can_be_planned_over():
  for name in ("pendulum", "linear_quadratic"):
    with jax.enable_x64(True):
      env = make_env(name)
      bounds = {"action_low": env.spec.action_low, "action_high": env.spec.action_high}
      planner = make_planner(cem(8, 2), make_evaluate(env_dynamics(env)), horizon=3, **bounds)
      output, _ = jax.jit(planner.plan)(None, env.reset(KEY), planner.init(), KEY)
      assert output.action.dtype == jnp.float32 and np.isfinite(output.value)
