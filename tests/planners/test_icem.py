"""iCEM: the decaying population and the kept elites."""

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.planners import icem, make_planner


def test_population_decays():
  sizes, seen = icem(samples=40, elites=5, sample_decay=2.0).sizes(4), []
  assert sizes == (40, 20, 10, 10)

  def evaluate(params, state, plans, key):
    seen.append(plans.shape[0])
    return -jnp.sum(plans**2, axis=(1, 2))

  search, bounds = icem(40, 5, sample_decay=2.0), {"action_low": [-1.0], "action_high": [1.0]}
  planner = make_planner(search, evaluate, horizon=4, iterations=4, **bounds)
  jax.jit(planner.plan).lower(None, None, planner.init(), jax.random.key(0))
  assert sorted(set(seen), reverse=True) == [40, 20, 10]


def test_elites_are_kept_in_the_next_iteration():
  search = icem(40, 10, keep_fraction=0.3)
  state = search.init(jnp.zeros((4, 2)), jnp.ones((4, 2)))
  plans, state = search.sample(state, jax.random.key(0), 40)
  state = search.update(state, plans, jnp.arange(40.0))
  again, state = search.sample(state, jax.random.key(1), 40)
  for best in plans[-3:]:
    assert (np.abs(again - best).max((1, 2)) < 1e-6).any()
