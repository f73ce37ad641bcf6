"""Whole learning runs of minutes each, run by ``make learning``."""

import jax
import pytest

from experiments import job, run_settings
from mbrl_jax.algorithms import init_state, make_algorithm, make_evaluation, make_step
from mbrl_jax.envs import make_env
from mbrl_jax.runtime.devices.compilation import compiler_options


@pytest.mark.learning
@pytest.mark.timeout(1200)
def test_pets_swings_up_the_cart_pole_within_eight_trials():
  """The published curve of the original reaches 176 after seven trials."""
  settings = run_settings.make_settings(
    algo="pets", env="cartpole", preset="cpu", physics="auto", seed=0, seeds=1,
    env_overrides={}, config_overrides={"trials": 8},
  )  # fmt: skip
  task = job.build(settings)
  step = make_step(task.algorithm, task.env, steps=25, compiler_options=compiler_options())
  state, returns = task.init(), []
  while state.steps < task.total_steps:
    state, metrics = step(state)
    if metrics["done"][-1]:
      returns.append(float(metrics["episode_return"][-1]))
  assert len(returns) == 9 and returns[0] < 20
  assert max(returns) >= 175
  assert jax.numpy.isfinite(state.learn.buffer.data.obs).all()


@pytest.mark.learning
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("algo", ["npg", "trpo"])
def test_policy_gradients_learn_to_run(algo):
  """The half-cheetah: at random about -300; others' ten seeds have 3,500 after 1M steps."""
  env, envs = make_env("halfcheetah"), 16
  algorithm = make_algorithm(algo, env.spec)
  step = make_step(algorithm, env, steps=1024, envs=envs, compiler_options=compiler_options())
  state = init_state(algorithm, env, jax.random.key(100), envs)
  for _ in range(300):
    state, metrics = step(state)
  assert metrics["update"]["batch_return"] > 1000
  returns = make_evaluation(algorithm, env, episodes=5)(
    algorithm.params(state), jax.random.key(0)
  )
  assert returns["return"].mean() > 2000
