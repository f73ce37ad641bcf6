"""Every search stays finite, and recovers, under returns of any magnitude."""

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
from mbrl_jax.types import Search

SETTINGS = {
  "adam": lambda: adam(16),
  "categorical": lambda: categorical(16, elites=4),
  "categorical expected": lambda: categorical(
    16, elites=4, utility="expected", divergence="euclidean"
  ),
  "cem": lambda: cem(16, 4),
  "dial": lambda: dial(16),
  "icem": lambda: icem(16, 4, sample_decay=1.0),
  "mirror_descent": lambda: mirror_descent(16, elites=4, covariance="full"),
  "mirror_descent expected": lambda: mirror_descent(16, elites=4, utility="expected"),
  "mppi": lambda: mppi(16, temperature=0.01),
  "mppi ess_fraction": lambda: mppi(16, ess_fraction=0.2, control_cost=0.5),
  "pddm": lambda: pddm(16),
  "predictive_sampling": lambda: predictive_sampling(16),
  "random_shooting": lambda: random_shooting(16),
}
SLOW = ("adam", "categorical", "icem", "random_shooting", "predictive_sampling")
SCALES = np.float32([1e-37, 1e-30, 1e-10, 1e9, 1e19, 1e30, 1.4e38])
BOX = {"action_low": [-1.0], "action_high": [1.0]}


def score(scale, kind, plans, key):
  """Scores plans by their distance from 0.5, in one of several mixtures of magnitudes."""
  n, near = len(plans), -jnp.mean(jnp.square(plans - 0.5), axis=(1, 2))
  one = jnp.arange(n) == 3
  return jnp.stack(
    [
      scale * near,
      jnp.where(one, scale, near),
      jnp.where(one, -scale, near),
      jnp.linspace(-1.0, 1.0, n) * scale,
      jnp.full(n, scale),
      jnp.where(one, scale, -jnp.inf),
    ]
  )[kind]


def test_every_search_is_listed():
  assert {name.split()[0] for name in SETTINGS} == set(SEARCHES)


@pytest.mark.parametrize(
  "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in SETTINGS]
)
def test_plans_stay_finite_and_recover(name):
  planner = make_planner(SETTINGS[name](), score, horizon=3, iterations=3, **BOX)

  @jax.jit
  def episode(scale, kind):
    def body(state, x):
      scale, kind, key = x
      output, state = planner.plan(scale, kind, state, key)
      return state, (output.plan, output.metrics)

    scales = jnp.where(jnp.arange(8) < 3, scale, 1.0)
    kinds = jnp.where(jnp.arange(8) < 3, kind, 0)
    keys = jax.random.split(jax.random.key(0), 8)
    return jax.lax.scan(body, planner.init(), (scales, kinds, keys))[1]

  for kind in range(6):
    for scale in SCALES:
      plans, metrics = episode(scale, kind)
      assert np.isfinite(plans).all(), (kind, scale)
      assert (metrics["refused"] == 0).all(), (kind, scale)
      lost = 3 * 15 if kind == 5 else 0
      np.testing.assert_array_equal(metrics["nonfinite"][:3], lost)
      np.testing.assert_array_equal(metrics["nonfinite"][3:], 0)
      if "expected" not in name:  # its steps are per unit of return
        assert np.abs(plans[-1] - 0.5).mean() < 0.5, (kind, scale)
      if kind == 0 and "expected" not in name and name not in ("mppi", "pddm"):
        # Searches without arguments in units of return are invariant to the scale.
        assert np.abs(plans[2] - 0.5).mean() < 0.5, scale


def test_non_finite_updates_are_refused_and_counted():
  search = Search(
    init=lambda low, high: ((low + high) / 2, jnp.float32(-jnp.inf)),
    sample=lambda state, key, size: (
      jnp.broadcast_to(state[0], (size, *state[0].shape)),
      state,
    ),
    update=lambda state, plans, returns: (state[0] + jnp.log(returns[0]), returns[0]),
    mean=lambda state: state[0],
    shift=lambda state, steps: state,
    sizes=lambda n: (4,) * n,
  )
  value = lambda params, state, plans, key: jnp.full(len(plans), params)
  planner = make_planner(search, value, horizon=2, iterations=3, **BOX)
  plan, state = jax.jit(planner.plan), planner.init()
  counts = []
  for params in (jnp.e, -1.0, 0.0, jnp.nan, 1.0):
    output, state = plan(jnp.float32(params), None, state, jax.random.key(0))
    counts.append([int(output.metrics[k]) for k in ("nonfinite", "refused", "iterations")])
    np.testing.assert_allclose(output.plan, 3.0, rtol=1e-6)
  # Three steps by one; NaN; -inf; no finite return; steps of zero.
  assert counts == [[0, 0, 3], [0, 3, 0], [0, 3, 0], [12, 0, 0], [0, 0, 1]]


@functools.cache
def adam_plans(scale):
  search = adam(1)
  state = search.init(-jnp.ones((2, 1)), jnp.ones((2, 1)))
  gradient = jnp.asarray([[[1.0], [-0.5]]])
  for i in range(2):
    plans, state = search.sample(state, jax.random.key(i), 1)
    state = search.update(state, plans, jnp.zeros(1), scale * gradient)
  return np.asarray(state.plans)


@pytest.mark.parametrize("scale", [1e-37, 1e-12, 1e15, 3e38])
def test_adam_is_invariant_to_the_scale_of_returns(scale):
  np.testing.assert_allclose(adam_plans(scale), adam_plans(1.0), rtol=1e-4)
  np.testing.assert_allclose(adam_plans(1.0), [[[0.2], [-0.2]]], rtol=1e-3)
