"""Gradient search: the Adam steps, the bounds, the restarts."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mbrl_jax.planners import adam, make_planner

LOW, HIGH = jnp.full((3, 2), -4.0), jnp.full((3, 2), 2.0)


def quadratic(plans):
  """Returns returns ``[N]`` and their gradients, some of which point out of the bounds."""
  goal = jnp.asarray([0.5, 3.0])
  return -jnp.sum(jnp.square(plans - goal), axis=(1, 2)), -2 * (plans - goal)


def test_steps_equal_optax_adam_within_the_bounds():
  search = adam(6, learning_rate=0.1)
  state = search.init(LOW, HIGH)
  plans, state = search.sample(state, jax.random.key(0), 6)
  optimizer, expected = optax.adam(0.1 * 3.0), plans
  moments = optimizer.init(expected)
  for i in range(6):
    np.testing.assert_allclose(plans, expected, atol=1e-5)
    returns, gradients = quadratic(plans)
    state = search.update(state, plans, returns, gradients)
    steps, moments = optimizer.update(-gradients, moments)
    expected = jnp.clip(optax.apply_updates(expected, steps), LOW, HIGH)
    plans, state = search.sample(state, jax.random.key(100 + i), 6)
  assert plans[..., 1].max() == 2.0  # the goal lies beyond the bound


def test_best_scored_plan_is_executed_and_kept():
  search = adam(4)
  state = search.init(LOW, HIGH)
  plans, state = search.sample(state, jax.random.key(0), 4)
  proposal = jnp.full((1, 3, 2), 1.5)
  scored = jnp.concatenate([plans, proposal])
  returns = jnp.asarray([0.0, 1.0, -jnp.inf, 2.0, 3.0])
  state = search.update(state, scored, returns, jnp.zeros_like(scored))
  np.testing.assert_array_equal(search.mean(state), proposal[0])
  worse = search.update(state, plans, jnp.full(4, 2.5), jnp.zeros_like(plans))
  np.testing.assert_array_equal(search.mean(worse), proposal[0])


def test_shift_restarts_the_others_around_the_best_plan():
  search = adam(500, noise_scale=0.1)
  state = search.init(LOW, HIGH)
  plans, state = search.sample(state, jax.random.key(0), 500)
  state = search.shift(search.update(state, plans, *quadratic(plans)), 1)
  fresh, state = search.sample(state, jax.random.key(1), 500)
  np.testing.assert_array_equal(fresh[0], search.mean(state))
  std = np.asarray(fresh - search.mean(state)).std(0)
  np.testing.assert_allclose(std, 0.1 * 3.0, rtol=0.15)
  assert not np.allclose(fresh[1:], search.sample(state, jax.random.key(2), 500)[0][1:])
  assert state.moments.count == 0 and state.value == -jnp.inf


def test_several_starts_find_the_higher_of_two_optima():
  """Gradient ascent from the middle leads to the lower one, which is nearer."""

  def score(params, state, plans, key):
    x = plans[:, 0, 0]
    return jnp.exp(-8 * jnp.square(x - 0.3)) + 2 * jnp.exp(-8 * jnp.square(x + 1.3))

  found = []
  for starts in (1, 64):
    options = {"horizon": 1, "action_low": [-2.0], "action_high": [2.0]}
    planner = make_planner(adam(starts, learning_rate=0.05), score, iterations=40, **options)
    output, _ = jax.jit(planner.plan)(None, None, planner.init(), jax.random.key(0))
    found.append(float(output.action[0]))
  np.testing.assert_allclose(found, [0.3, -1.3], atol=0.05)


def test_learning_rate_is_data():
  search = adam(4)
  state = search.init(LOW, HIGH)
  plans, state = search.sample(state, jax.random.key(0), 4)
  faster = state._replace(learning_rate=jnp.float32(0.2))
  steps = [
    search.update(s, plans, *quadratic(plans)).plans[:, :, 0] - plans[:, :, 0]
    for s in (state, faster)
  ]
  np.testing.assert_allclose(2 * steps[0], steps[1], atol=1e-5)
