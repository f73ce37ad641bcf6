"""Scoring of plans against closed forms and against the environment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.envs import env_dynamics, make_env
from mbrl_jax.ops import risk
from mbrl_jax.planners import make_evaluate, make_predict
from mbrl_jax.planners.particle_shuffle import draw_permutations, shuffle_particles
from mbrl_jax.types import Dynamics

KEY = jax.random.key(0)


def accumulate(params, state, action, key):
  """Accumulates actions; the reward is the new state, scaled by the slice's parameter."""
  state = state + action[0]
  return state, params * state, state > 5.0


def constant_plans(*levels, horizon=4):
  return jnp.broadcast_to(jnp.array(levels)[:, None, None], (len(levels), horizon, 1))


def test_return_is_the_discounted_sum():
  evaluate = make_evaluate(Dynamics(accumulate), discount=0.5)
  returns = evaluate(jnp.float32(2.0), jnp.float32(0.0), constant_plans(1.0, -1.0), KEY)
  expected = 2 * (1 + 0.5 * 2 + 0.25 * 3 + 0.125 * 4)
  np.testing.assert_allclose(returns, [expected, -expected], rtol=1e-6)


def test_no_reward_after_termination():
  evaluate = make_evaluate(Dynamics(accumulate), terminal=lambda p, s, k: 100.0 * s)
  returns = evaluate(jnp.float32(1.0), jnp.float32(0.0), constant_plans(3.0, 1.0), KEY)
  # 3, then 6 (terminates, counted); the other plan survives and gets its terminal value.
  np.testing.assert_allclose(returns, [9.0, 10.0 + 400.0])


def test_terminal_value_is_discounted_and_gets_params_of_the_slice():
  dynamics = Dynamics(accumulate, slices=2, params_axes=0)
  evaluate = make_evaluate(dynamics, discount=0.5, terminal=lambda p, s, k: p)
  value = evaluate(jnp.array([0.0, 16.0]), jnp.float32(0.0), constant_plans(0.0), KEY)
  np.testing.assert_allclose(value, [0.5**4 * 8.0])


@pytest.mark.parametrize("map_slices", [True, False])
@pytest.mark.parametrize("shuffle", [True, False])
def test_returns_are_averaged_over_slices(map_slices, shuffle):
  dynamics = Dynamics(accumulate, slices=3, params_axes=0, shuffle=shuffle)
  evaluate = make_evaluate(dynamics, particles=6, map_slices=map_slices)
  returns = evaluate(jnp.array([1.0, 2.0, 6.0]), jnp.float32(0.0), constant_plans(1.0), KEY)
  # Reassigning particles to slices changes single returns, never their mean.
  np.testing.assert_allclose(returns, [3.0 * 10.0], rtol=1e-6)


def test_tsinf_keeps_particles_in_their_slice():
  step = lambda params, state, action, key: (state + params, state, jnp.array(False))
  predict = make_predict(Dynamics(step, slices=3, params_axes=0), particles=6)
  states = predict(jnp.array([1.0, 2.0, 3.0]), jnp.float32(0.0), jnp.zeros((2, 1)), KEY)
  np.testing.assert_array_equal(states[2], 2 * np.repeat([1.0, 2.0, 3.0], 2))
  np.testing.assert_array_equal(states[0], np.zeros(6))


def test_ts1_assigns_equal_numbers_to_slices_at_each_step():
  # The decimal digits of a particle's state count its visits to each slice.
  count = lambda params, state, action, key: (state + params, state, jnp.array(False))
  dynamics = Dynamics(count, slices=3, params_axes=0, shuffle=True)
  predict = make_predict(dynamics, particles=6)
  states = predict(jnp.array([1.0, 100.0, 1e4]), jnp.float32(0.0), jnp.zeros((30, 1)), KEY)
  for step, row in enumerate(np.diff(np.sort(states, axis=1).sum(1))):
    assert row == 2 * 10101.0, step
  visits = np.stack([states[-1] % 100, states[-1] // 100 % 100, states[-1] // 1e4])
  np.testing.assert_array_equal(visits.sum(0), np.full(6, 30))
  assert (visits > 3).all() and (visits < 20).all()  # about ten of thirty each


def test_shuffle_permutes_all_leaves_alike():
  rows = jnp.arange(2 * 4 * 3.0).reshape(2, 4, 3)
  tree = {"a": rows, "b": jnp.stack([rows, -rows], -1)}
  shuffled = shuffle_particles(tree, draw_permutations(jax.random.key(1), 4, 6))
  np.testing.assert_array_equal(shuffled["b"][..., 0], shuffled["a"])
  np.testing.assert_array_equal(shuffled["b"][..., 1], -shuffled["a"])
  for plan in range(4):
    before, after = (
      np.asarray(rows[:, plan]).ravel(),
      np.asarray(shuffled["a"][:, plan]).ravel(),
    )
    assert sorted(before) == sorted(after)
  orders = [np.argsort(np.asarray(shuffled["a"][:, plan]).ravel()) for plan in range(4)]
  assert len({tuple(order) for order in orders}) > 1  # plans are shuffled independently


def test_noise_and_keys_differ_between_particles():
  def step(params, state, action, key):
    sample = key if key.dtype == jnp.float32 else jax.random.normal(key)
    return sample, sample, jnp.array(False)

  for noise in (None, jax.random.normal):
    predict = make_predict(Dynamics(step, noise=noise), particles=50)
    states = np.asarray(predict(None, jnp.float32(0.0), jnp.zeros((20, 1)), KEY))[1:]
    assert len(np.unique(states)) == states.size
    assert abs(states.mean()) < 0.1 and abs(states.std() - 1) < 0.1


def test_risk_measures_match_their_definitions():
  returns = jnp.array([3.0, -1.0, 0.0, 2.0])
  assert risk.mean()(returns) == 1.0
  assert risk.worst()(returns) == -1.0
  assert risk.best()(returns) == 3.0
  np.testing.assert_allclose(risk.cvar(0.5)(returns), -0.5)
  np.testing.assert_allclose(risk.mean_minus_std(2.0)(returns), 1 - 2 * np.std([3, -1, 0, 2]))
  expected = -np.log(np.mean(np.exp(-0.7 * np.array([3, -1, 0, 2.0])))) / 0.7
  np.testing.assert_allclose(risk.entropic(0.7)(returns), expected, rtol=1e-6)
  dynamics = Dynamics(accumulate, slices=2, params_axes=0)
  evaluate = make_evaluate(dynamics, risk=risk.worst())
  value = evaluate(jnp.array([1.0, 3.0]), jnp.float32(0.0), constant_plans(1.0), KEY)
  np.testing.assert_allclose(value, [10.0])


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_one_non_finite_particle_makes_the_return_minus_infinity(bad):
  step = lambda p, s, a, k: (s, jnp.where(a[0] > 0, p, 1.0), jnp.array(False))
  evaluate = make_evaluate(Dynamics(step, slices=2, params_axes=0))
  params = jnp.array([1.0, bad])
  returns = evaluate(params, jnp.float32(0.0), constant_plans(1.0, -1.0), KEY)
  np.testing.assert_array_equal(returns, [-np.inf, 4.0])


def test_particles_must_divide_among_slices():
  with pytest.raises(ValueError, match=r"particles=7 do not divide among slices=5"):
    make_evaluate(Dynamics(accumulate, slices=5), particles=7)


def test_plans_need_three_axes():
  with pytest.raises(ValueError, match=r"\[N, H, A\], got shape \(4, 1\)"):
    make_evaluate(Dynamics(accumulate))(1.0, 0.0, jnp.zeros((4, 1)), KEY)


@pytest.mark.parametrize("name", ["pendulum", "linear_quadratic", "cartpole"])
def test_exact_model_reproduces_the_return_of_the_environment(name):
  env = make_env(name)
  state = env.reset(jax.random.key(4))
  low, high = jnp.asarray(env.spec.action_low), jnp.asarray(env.spec.action_high)
  shape = (3, 20, env.spec.action_dim)
  plans = jax.random.uniform(jax.random.key(5), shape, minval=low, maxval=high)
  evaluate = jax.jit(make_evaluate(env_dynamics(env)))
  predicted = evaluate(None, state, plans, KEY)
  step = jax.jit(env.step)
  for plan, value in zip(plans, predicted, strict=True):
    current, total = state, 0.0
    for action in plan:
      current, transition = step(current, action, KEY)
      total += float(transition.reward)
    np.testing.assert_allclose(value, total, rtol=1e-4, atol=1e-4)


def test_gradients_by_plans_and_parameters():
  evaluate = make_evaluate(Dynamics(accumulate))
  score = lambda params, plans: evaluate(params, jnp.float32(0.0), plans, KEY).sum()
  by_params, by_plans = jax.grad(score, (0, 1))(jnp.float32(2.0), constant_plans(1.0))
  np.testing.assert_allclose(by_params, 10.0)
  np.testing.assert_allclose(by_plans[0, :, 0], [8.0, 6.0, 4.0, 2.0])
