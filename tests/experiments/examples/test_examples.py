"""The examples run at small sizes and show what they claim."""

import jax
import numpy as np
import pytest
from programs import EXAMPLES, exported_actions

from experiments.examples import (
  episode_scan,
  episodes_vmap,
  export_planner,
  foreign_dynamics,
  randomised_models,
  slow_pendulum,
  system_identification,
  temperature_sweep,
)
from mbrl_jax import make_env


@pytest.fixture(scope="module")
def pendulum():
  return episode_scan.pendulum_and_planner()


def test_scan_and_loop_agree(pendulum):
  env, planner = pendulum
  episode = jax.jit(episode_scan.make_episode(env, planner, steps=12))
  rewards = [episode(planner.init(), jax.random.key(i)).reward for i in (3, 4)]
  assert rewards[0].shape == (12,) and not np.array_equal(*rewards)
  assert episode._cache_size() == 1
  total = episode_scan.loop(env, planner, jax.random.key(4), steps=12)
  np.testing.assert_allclose(rewards[1].sum(), total, rtol=1e-5)


@pytest.mark.slow
def test_episodes_under_vmap_equal_single_ones(pendulum):
  env, planner = pendulum
  batch = episodes_vmap.run(episodes=3, steps=8, seed=5)
  episode = episode_scan.make_episode(env, planner, steps=8)
  alone = episode(planner.init(), jax.random.split(jax.random.key(5), 3)[2])
  np.testing.assert_allclose(batch[2], alone.reward, rtol=1e-4, atol=1e-4)
  assert np.std(batch[:, 0]) > 0, "all episodes have the same initial state"


def test_a_temperature_sweep_is_traced_once():
  env, traces = make_env("pendulum"), []

  class Counting:
    spec, reset = env.spec, env.reset

    def step(self, *arguments):
      traces.append(1)
      return env.step(*arguments)

  sweep = temperature_sweep.make_sweep(Counting(), steps=6, samples=16)
  keys = jax.random.split(jax.random.key(0), 2)
  cold = sweep(np.float32([1e-3, 1e3]), keys)
  counted = len(traces)
  other = sweep(np.float32([5.0, 1e3]), keys)
  assert len(traces) == counted > 0
  assert cold.shape == (2, 2)
  np.testing.assert_array_equal(cold[1], other[1])
  assert (cold[0] != other[0]).all(), "the temperature has no effect"


def test_a_system_is_identified_through_its_parameters():
  module = system_identification
  data = module.record(jax.random.key(1), count=16, length=10)
  found, losses = module.identify(data, updates=300)
  assert losses[-1] < 0.01 * losses[0]
  np.testing.assert_allclose(np.exp(found), np.exp(module.TRUE), rtol=0.05)
  assert np.abs(np.exp(module.GUESS) / np.exp(module.TRUE) - 1).min() > 0.5


def test_a_planner_with_the_true_constants_swings_up():
  module = system_identification
  planner = module.make_pendulum_planner()
  total = jax.jit(lambda params: module.swing_up(planner, params))(module.TRUE)
  assert total > -80, "hanging still returns -80"


@pytest.mark.slow
def test_an_exported_planner_needs_no_mbrl_jax(tmp_path):
  planner, state = system_identification.make_pendulum_planner(), np.float32([2.0, 0.0])
  params = system_identification.TRUE
  export_planner.export(planner, params, state, tmp_path)
  actions = exported_actions(tmp_path, 3)
  plan, plan_state, expected = jax.jit(planner.plan), planner.init(), []
  for i in range(3):
    key = jax.random.wrap_key_data(np.uint32([0, i]), impl="threefry2x32")
    output, plan_state = plan(params, state, plan_state, key)
    expected.append(output.action[0])
  np.testing.assert_array_equal(np.float32(actions), expected)
  assert len(set(map(float, expected))) == 3


def test_the_slow_pendulum_has_a_cost_above_its_speed_and_the_usual_reward():
  task, other = slow_pendulum.slow_pendulum(speed=5.0), make_env("pendulum")
  costs = [task.spec.cost(None, None, np.float32([1, 0, v])) for v in (-5.1, -4.9, 4.9, 5.1)]
  assert costs == [1, 0, 0, 1]
  transition = np.float32([1, 0, 6]), np.float32([1]), np.float32([1, 0, 6])
  assert task.spec.reward(*transition) == other.spec.reward(*transition)


@pytest.mark.slow
def test_a_foreign_function_is_planned_over():
  before, after = foreign_dynamics.drive(steps=25, samples=48)
  assert after < 0.5 * before


@pytest.mark.slow
def test_an_mjx_model_is_planned_over():
  before, after = foreign_dynamics.reach(steps=25)
  assert before == pytest.approx(-0.8) and after > -0.4


@pytest.mark.slow
def test_randomised_models_are_planned_over():
  returns = randomised_models.compare(steps=8, systems=4, samples=32)
  assert list(returns) == list(randomised_models.NAMES)
  values = np.array(list(returns.values()))
  assert values.shape == (3, 4) and np.isfinite(values).all()
  # Standing still has a reward of -1. Systems and planners differ.
  assert (values > -8).all() and np.std(values, axis=1).min() > 0
  assert len(np.unique(values[:, 0])) == 3


@pytest.mark.slow
def test_brax_trains_a_network_to_imitate_a_planner():
  from experiments.examples import training_loop

  result = training_loop.imitate(dagger_steps=2, num_envs=8, samples=16, iterations=2)
  assert set(result) == {"untrained network", "trained network", "planner"}
  assert result["planner"] > result["untrained network"]
  assert result["trained network"] != result["untrained network"]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("[a-z]*.py")), ids=lambda p: p.stem)
def test_every_example_is_in_the_table(path):
  assert f"`{path.stem}`" in (EXAMPLES / "README.md").read_text(encoding="utf-8")
