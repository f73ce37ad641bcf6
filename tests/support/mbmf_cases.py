"""A small MBMF on the pendulum, and recorded random transitions."""

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.algorithms.mbmf import Config, MixedFitConfig, ModelConfig, PlannerConfig
from mbrl_jax.envs import make_env

LENGTH = 10
ENV = make_env("pendulum", episode_length=LENGTH)
MODEL = ModelConfig("D", "E", 1, (16,), "relu", (0.0,), normalize_targets=True)
CONFIG = Config(
  steps=76,
  init_steps=36,
  update_every=20,
  validation_every=3,
  action_noise=0.1,
  model=MODEL,
  fit=MixedFitConfig(epochs=4, batch_size=8, learning_rate=1e-2),
  planner=PlannerConfig("random_shooting", 1, horizon=4, particles=1, settings={"samples": 20}),
)


def recorded(episodes, seed=0):
  """Returns transitions of the pendulum under uniform actions."""
  rng, rows, step = np.random.default_rng(seed), [], jax.jit(ENV.step)
  for episode in range(episodes):
    state = ENV.reset(jax.random.key(episode))
    for _ in range(LENGTH):
      action = jnp.float32(rng.uniform(-2, 2, 1))
      state, row = step(state, action, jax.random.key(0))
      rows.append(row._replace(truncated=jnp.zeros((), bool)))
  return jax.tree.map(lambda *x: np.stack(x), *rows)
