"""Matrix products outside of nets request full precision, on every device.

Accelerators multiply float32 in bfloat16 or tf32 by default.
"""

import jax
import jax.numpy as jnp
import pytest
from jax.extend import core as extended
from test_keys import CONFIGS, PETS

from mbrl_jax.algorithms import init_state, make_algorithm, make_evaluation, make_step
from mbrl_jax.algorithms.parts.dynamics_config import ModelConfig
from mbrl_jax.envs import list_envs, make_env
from mbrl_jax.learners import make_ars
from mbrl_jax.networks.mlp import MLP
from mbrl_jax.planners import SEARCHES, make_evaluate, make_planner
from mbrl_jax.types import Dynamics

HIGHEST = jax.lax.Precision.HIGHEST
NET = "MLP"
"""Flax adds module names to the name stack of operations."""


def equations(jaxpr):
  """Yields all equations, including those of loops, branches and calls."""
  for equation in jaxpr.eqns:
    yield equation
    for value in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_jaxpr):
      if _is_jaxpr(value):
        yield from equations(getattr(value, "jaxpr", value))


def _is_jaxpr(value):
  return isinstance(value, (extended.Jaxpr, extended.ClosedJaxpr))


def products(function, *arguments):
  """Returns all products, and the names of those of low precision outside of nets."""
  traced = jax.make_jaxpr(function)(*arguments).jaxpr
  found = [e for e in equations(traced) if e.primitive.name == "dot_general"]
  name = lambda e: f"{e.source_info.name_stack}: {e}"
  exact = lambda e: e.params["precision"] in (HIGHEST, (HIGHEST, HIGHEST))
  low = [name(e) for e in found if not exact(e) and NET not in str(e.source_info.name_stack)]
  return found, low


def test_a_product_of_low_precision_is_detected_outside_of_nets():
  net, x = MLP((4, 2)), jnp.ones(3)
  params = net.init(jax.random.key(0), x)
  through = lambda x: jnp.sum(jax.vmap(jax.grad(lambda x: net.apply(params, x).sum()))(x))
  found, low = products(jax.jit(through), jnp.ones((5, 3)))
  assert found and not low
  plain = lambda x: jax.lax.fori_loop(
    0, 3, lambda _, x: jax.lax.cond(x[0] > 0, _multiply, _multiply, x), x
  )
  found, low = products(jax.vmap(plain), jnp.ones((5, 2)))
  assert found and len(low) == len(found)


def _multiply(x):
  return jnp.ones((2, 2)) @ x


@pytest.mark.parametrize("name", list_envs())
def test_products_of_a_task_have_full_precision(name):
  env = make_env(name)
  state = jax.eval_shape(env.reset, jax.random.key(0))
  action, key = jnp.zeros(env.spec.action_dim), jax.random.key(0)
  transition = state.obs, action, state.obs
  for function, *arguments in (
    (env.reset, key),
    (env.step, state, action, key),
    (env.spec.reward, *transition),
    (lambda obs: env.spec.decode(obs, env.spec.target(obs, obs)), state.obs),
    (env.spec.encode, state.obs),
  ):
    assert products(function, *arguments)[1] == []
  if name in ("linear_quadratic", "stochlite", "hand_pen"):
    assert products(env.step, state, action, key)[0]


GP = PETS.__class__(**{**vars(PETS), "model": ModelConfig("GP", "DS", inducing_points=4)})
LEARNING = {**CONFIGS, "pets with GP": GP}


@pytest.mark.parametrize(
  "name",
  [n if n in ("sac", "npg") else pytest.param(n, marks=pytest.mark.slow) for n in LEARNING],
)
def test_products_of_an_algorithm_have_full_precision(name):
  env = make_env("pendulum", episode_length=6)
  kind = name.removesuffix(" as released").removesuffix(" with GP")
  algorithm = make_algorithm(kind, env.spec, LEARNING[name])
  state = jax.eval_shape(lambda key: init_state(algorithm, env, key), jax.random.key(0))
  params = jax.eval_shape(algorithm.params, state)
  for function, *arguments in (
    (make_step(algorithm, env, steps=2), state),
    (make_evaluation(algorithm, env), params, jax.random.key(0)),
  ):
    found, low = products(function, *arguments)
    assert found and low == []


def test_products_of_random_search_have_full_precision():
  ars = make_ars(3, [-1.0], [1.0], directions=2, top=1)
  state = ars.init(jax.random.key(0))
  update = lambda returns, key: ars.update(state, returns, key)
  for function, *arguments in (
    (update, jnp.ones((2, 2)), jax.random.key(0)),
    (lambda obs: ars.act(state.policy, obs), jnp.ones(3)),
  ):
    found, low = products(function, *arguments)
    assert found and low == []


SETTINGS = {
  "mppi": {"control_cost": 0.5},
  "mirror_descent": {"covariance": "full"},
  "categorical": {"utility": "threshold"},
}


@pytest.mark.parametrize("name", SEARCHES)
def test_products_of_a_search_have_full_precision(name):
  step = lambda params, state, action, key: (
    state + action,
    -jnp.sum(state**2),
    jnp.array(False),
  )
  planner = make_planner(
    SEARCHES[name](100, **SETTINGS.get(name, {})),
    make_evaluate(Dynamics(step)),
    horizon=3,
    action_low=[-1.0] * 2,
    action_high=[1.0] * 2,
    knots=2,
    interpolation="cubic",
  )
  plan = planner.plan, None, jnp.zeros(2), planner.init(), jax.random.key(0)
  found, low = products(*plan)
  assert found and low == []
