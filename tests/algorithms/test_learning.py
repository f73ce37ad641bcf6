"""Whole learning runs of minutes each, run by ``make learning``."""

import jax
import pytest

from experiments import job, run_settings
from mbrl_jax.algorithms import make_step
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
