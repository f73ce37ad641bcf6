"""The DeMo layer: one episode per trial, a policy update per round, evaluations after it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms import (
  demo_layer,
  init_state,
  make_algorithm,
  make_evaluation,
  make_step,
)
from mbrl_jax.algorithms.parts.lookahead import LookaheadConfig
from mbrl_jax.algorithms.parts.world_model import WorldModelConfig
from mbrl_jax.envs import make_env

LENGTH = 5
CONFIG = demo_layer.Config(
  steps=200,
  init_steps=7,
  update_every=LENGTH,
  directions=2,
  top=1,
  world_model=WorldModelConfig(members=2, elites=2, hidden=(8,), weight_decay=(0.0,), epochs=2),
  lookahead=LookaheadConfig(
    horizon=3, samples=8, policy_plans=2, iterations=2, particles=2, elites=3
  ),
)


@pytest.fixture(scope="module")
def trained():
  env = make_env("pendulum", episode_length=LENGTH)
  algorithm = make_algorithm("demo_layer", env.spec, CONFIG)
  state = init_state(algorithm, env, jax.random.key(0))
  step, history = make_step(algorithm, env, steps=LENGTH), []
  for _ in range(7):
    state, metrics = step(state)
    history.append((state, jax.device_get(metrics)))
  assert step._cache_size() == 1
  return env, algorithm, history


@pytest.mark.slow
def test_trials_begin_with_the_first_episode_without_uniform_actions(trained):
  """Seven uniform actions reach into the second episode of five steps; the third is whole."""
  _, _, history = trained
  assert [int(state.carry.trial[0]) for state, _ in history] == [0, 0, 1, 2, 3, 0, 1]
  returns = np.asarray(history[4][0].learn.returns).reshape(-1)
  for k in range(3):
    np.testing.assert_allclose(returns[k], history[2 + k][1]["episode_return"][-1], rtol=1e-5)


def test_no_planning_before_the_model_is_fitted(trained):
  """The seventh step, the last of the uniform actions, is in the second call of five."""
  _, _, history = trained
  random = np.concatenate([metrics["info"]["random"] for _, metrics in history])
  np.testing.assert_array_equal(random, [1.0] * 10 + [0.0] * 25)


def test_the_policy_is_updated_after_all_trials_by_random_search(trained):
  _, _, history = trained
  before, after = history[4][0].learn, history[5][0].learn
  np.testing.assert_array_equal(before.ars.policy.weights, 0)
  returns = np.asarray(after.returns)
  best = int(np.argmax(returns.max(1)))
  pair, direction = returns[best], np.asarray(before.ars.directions[best])
  expected = CONFIG.step_size / pair.std() * (pair[0] - pair[1]) * direction
  np.testing.assert_allclose(after.ars.policy.weights, expected, rtol=1e-4, atol=1e-6)
  assert np.abs(after.ars.directions - before.ars.directions).max() > 0


def test_trials_plan_with_their_perturbed_policy_and_evaluations_with_the_current_one(trained):
  env, algorithm, history = trained
  state = history[6][0]
  params, current = algorithm.params(state), state.learn.ars.policy
  deployed, start = algorithm.deploy(params)
  assert start.random == 0 and deployed.greedy and not params.greedy
  act = jax.jit(algorithm.act)

  def action(params, carry):
    return np.asarray(act(params, carry, jnp.float32([-1.0, 0.1, 0.5]), jax.random.key(2))[0])

  def guided_by(policy):
    return action(deployed._replace(ars=deployed.ars._replace(policy=policy)), start)

  second = start._replace(trial=jnp.int32(1))
  step = CONFIG.noise * state.learn.ars.directions[0]
  perturbed = current._replace(weights=current.weights - step)
  np.testing.assert_allclose(action(params, second), guided_by(perturbed), rtol=1e-5)
  np.testing.assert_array_equal(action(deployed, second), guided_by(current))
  assert np.abs(guided_by(perturbed) - guided_by(current)).max() > 1e-4
  returns = make_evaluation(algorithm, env, episodes=2)(params, jax.random.key(1))["return"]
  assert np.isfinite(returns).all()


def test_evaluate_policy_acts_without_planning():
  env = make_env("pendulum", episode_length=LENGTH)
  config = dataclasses.replace(CONFIG, evaluate="policy")
  algorithm = make_algorithm("demo_layer", env.spec, config)
  assert not algorithm.plans
  params, carry = algorithm.deploy(algorithm.params(algorithm.init(jax.random.key(0))))
  action, _, info = algorithm.act(params, carry, jnp.ones(3), jax.random.key(1))
  np.testing.assert_array_equal(action, [0.0])  # weights begin at zero
  assert info["random"] == 0


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"top": 3}, "top"),
    ({"directions": 0}, "directions"),
    ({"evaluate": "both"}, "evaluate='both' is not known"),
    ({"steps": 0}, "steps=0 must be positive"),
  ],
)
def test_invalid_configs_are_rejected(changes, message):
  spec = make_env("pendulum").spec
  with pytest.raises(ValueError, match=message):
    make_algorithm("demo_layer", spec, dataclasses.replace(CONFIG, **changes))
