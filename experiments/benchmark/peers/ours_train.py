"""Trains mbrl_jax's soft actor-critic in many environments for the benchmark."""

from __future__ import annotations

import time

import numpy as np

from experiments.benchmark.peers import protocol, sac_sizes

ENVS = 64
"""Environments in one program."""


class Jobs:
  """Trains; keeps the training state between requests."""

  def setup_train(self, task: str, steps: int, per_update: int) -> dict:
    """Compiles the training step and takes the first, random steps.

    Args:
      task: a name from ``list_envs()``.
      steps: environment steps per round.
      per_update: environment steps per gradient step.
    """
    import jax

    from mbrl_jax.algorithms import init_state, make_step
    from mbrl_jax.algorithms.parts.actor_critic import ActorCriticConfig
    from mbrl_jax.algorithms.sac import Config, make_sac_algorithm
    from mbrl_jax.envs import make_env
    from mbrl_jax.runtime.devices.compilation import compile_ahead, compiler_options

    agent = ActorCriticConfig(
      hidden=sac_sizes.HIDDEN, batch_size=sac_sizes.BATCH, updates_per_step=1 / per_update
    )
    config = Config(
      steps=steps, init_steps=ENVS * 16, capacity=100_000, update_every=steps, agent=agent
    )
    env = make_env(task, "mujoco")
    algorithm = make_sac_algorithm(env.spec, config)
    self.state = jax.jit(lambda key: init_state(algorithm, env, key, ENVS))(jax.random.key(0))
    step = make_step(
      algorithm, env, steps=steps, envs=ENVS, compiler_options=compiler_options()
    )
    self.step, seconds = compile_ahead(step, self.state)
    self.train()
    return {"compile_seconds": seconds}

  def train(self) -> dict:
    """Takes the environment and gradient steps of one round."""
    start = time.perf_counter()
    self.state, metrics = self.step(self.state)
    loss = np.asarray(metrics["update"]["q_loss"])
    return {"seconds": time.perf_counter() - start, "finite": bool(np.isfinite(loss).all())}


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in ("setup_train", "train")})
