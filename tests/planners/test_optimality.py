"""Every search approaches the known optimum of a linear-quadratic problem."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.envs import double_integrator, env_dynamics, make_env, optimal_return
from mbrl_jax.planners import (
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
  """The return of the plan is within a share of the optimum of ``linear_quadratic``."""
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
