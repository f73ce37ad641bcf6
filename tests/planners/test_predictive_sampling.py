"""Predictive sampling: the current plan competes, the best one wins."""

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.planners import predictive_sampling

LOW, HIGH = jnp.full((5, 2), -2.0), jnp.full((5, 2), 6.0)


def test_samples_are_the_plan_and_noisy_copies():
  search = predictive_sampling(4000, noise_scale=0.05)
  plan = jnp.arange(10.0).reshape(5, 2) / 5
  state = search.init(LOW, HIGH)._replace(plan=plan)
  plans, state = search.sample(state, jax.random.key(0), 4000)
  np.testing.assert_array_equal(plans[-1], plan)
  np.testing.assert_allclose(plans.mean(0), plan, atol=0.02)
  np.testing.assert_allclose(plans.std(0), 0.05 * 4.0, rtol=0.05)


def test_best_plan_wins_and_worse_samples_change_nothing():
  search = predictive_sampling(20)
  state = search.init(LOW, HIGH)
  plans, state = search.sample(state, jax.random.key(0), 20)
  returns = jnp.arange(20.0).at[7].set(100.0).at[9].set(-jnp.inf)
  improved = search.update(state, plans, returns)
  np.testing.assert_array_equal(improved.plan, plans[7])
  unchanged = search.update(state, plans, jnp.full(20, -1.0).at[-1].set(0.0))
  np.testing.assert_array_equal(unchanged.plan, state.plan)


def test_coloured_noise_is_smoother():
  roughness = []
  for noise_exponent in (0.0, 2.0):
    search = predictive_sampling(500, noise_exponent=noise_exponent)
    state = search.init(jnp.full((30, 1), -9.0), jnp.full((30, 1), 9.0))
    plans, state = search.sample(state, jax.random.key(0), 500)
    roughness.append(float(jnp.abs(jnp.diff(plans, axis=1)).mean()))
  assert roughness[1] < 0.5 * roughness[0]


def test_shift_repeats_the_last_action():
  search = predictive_sampling()
  state = search.init(LOW, HIGH)._replace(plan=jnp.arange(10.0).reshape(5, 2))
  after = search.shift(state, 2).plan
  np.testing.assert_array_equal(after, [[4, 5], [6, 7], [8, 9], [8, 9], [8, 9]])
