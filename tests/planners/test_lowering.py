"""Every search lowers for TPUs and GPUs: no callbacks, no float64, no dynamic shapes."""

import functools
import re

import jax
import jax.numpy as jnp
import pytest

from mbrl_jax.envs import env_dynamics, make_env
from mbrl_jax.models import as_dynamics, make_ensemble
from mbrl_jax.planners import SEARCHES, cem, make_evaluate, make_planner, mirror_descent

PLATFORMS = ("tpu", "cuda")
BOUNDS = {"action_low": [-1.0], "action_high": [1.0]}
# Custom calls that the compilers or libraries of these platforms provide.
KNOWN = re.compile(r"Sharding|cu(solver|blas|dnn)_\w+")


@functools.cache
def system(name):
  """Returns dynamics, parameters, a state and the number of particles."""
  if name in ("pendulum", "cartpole"):
    env = make_env(name, physics="mjx" if name == "cartpole" else "auto")
    return env_dynamics(env), None, env.reset(jax.random.key(0)), 1
  ensemble = make_ensemble("PE", 2, (8,))
  dynamics = as_dynamics(
    ensemble,
    reward=lambda obs, action, next_obs: next_obs.sum(),
    terminated=lambda obs, action, next_obs: next_obs[0] > 1.0,
    propagation=name,
    outputs=3,
  )
  params = ensemble.init(jax.random.key(0), jnp.zeros(4), jnp.zeros(3))
  return dynamics, params, jnp.zeros(3), 1 if name == "E" else 2


def module(search, name, platform, **options):
  """Lowers one control step for a platform that may be absent; returns its text."""
  dynamics, params, state, particles = system(name)
  evaluate = make_evaluate(dynamics, particles=particles)
  options = {"horizon": 4, "iterations": 2, **BOUNDS, **options}
  planner = make_planner(search, evaluate, **options)
  args = params, state, planner.init(), jax.random.key(0)
  return jax.export.export(jax.jit(planner.plan), platforms=[platform])(*args).mlir_module()


def check(text):
  calls = set(re.findall(r"custom_call @([\w.$]+)", text))
  assert not {call for call in calls if not KNOWN.fullmatch(call)}
  assert "f64" not in text
  assert "tensor<?" not in text and "x?x" not in text


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", ["TSinf", "pendulum"])
@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_lowers_for_accelerators(search, name, platform):
  check(module(SEARCHES[search](128), name, platform))


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", ["TS1", "DS", "MM", "E"])
def test_every_propagation_lowers_for_accelerators(name, platform):
  check(module(cem(16, 4), name, platform))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_options_lower_for_accelerators(platform):
  """Cholesky factor of a covariance, knots, latency, replay and a bounded while loop."""
  search = mirror_descent(16, covariance="full")
  timing = {"latency": 1, "replan_every": 2, "tolerance": 0.01}
  check(module(search, "TSinf", platform, knots=3, interpolation="cubic", **timing))


@pytest.mark.slow
@pytest.mark.parametrize("platform", PLATFORMS)
def test_planning_over_mjx_lowers_for_accelerators(platform):
  check(module(cem(16, 4), "cartpole", platform))


@pytest.mark.slow
@pytest.mark.parametrize("search", [name for name in SEARCHES if name != "cem"])
def test_every_gradient_free_search_over_mjx_lowers_for_tpus(search):
  """MJX's solver is a while loop, which has no reverse mode."""
  built = SEARCHES[search](128)
  if built.gradients:
    with pytest.raises(ValueError, match="Reverse-mode differentiation does not work"):
      module(built, "cartpole", "tpu")
  else:
    check(module(built, "cartpole", "tpu"))


def test_check_finds_unsupported_operations():
  export = lambda function, x: jax.export.export(jax.jit(function), platforms=["cpu"])(x)
  with pytest.raises(AssertionError, match="lapack"):
    check(export(jnp.linalg.cholesky, jnp.eye(2)).mlir_module())
  with pytest.raises(AssertionError, match="f64"):
    check("stablehlo.add %0, %1 : tensor<3xf64>")
  with pytest.raises(AssertionError, match="tensor<"):
    check("stablehlo.add %0, %1 : tensor<?xf32>")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_host_callbacks_do_not_lower_for_accelerators(platform):
  env = make_env("cartpole", physics="mujoco")
  evaluate = jax.jit(make_evaluate(env_dynamics(env)))
  args = None, env.reset(jax.random.key(0)), jnp.zeros((2, 3, 1)), jax.random.key(0)
  with pytest.raises((ValueError, NotImplementedError)):
    jax.export.export(evaluate, platforms=[platform])(*args)
