"""Collects transitions in many environments, and steps bare MuJoCo, for the benchmark.

The training step runs without gradient steps: the policy acts, the task computes observations
and rewards, transitions are stored, finished episodes are reset. Bare MuJoCo only simulates.
"""

from __future__ import annotations

from experiments.benchmark.peers import ours_envs, protocol

HIDDEN = (64, 64)
CAPACITY = 100_000
"""Transitions in the replay buffer."""


class Jobs(ours_envs.Jobs):
  """Steps one task in ``envs`` environments; keeps the compiled loops between requests."""

  def setup_collect(self, name: str, envs: int, turn_seconds: float) -> dict:
    """Prepares the training step and bare MuJoCo; a turn takes about ``turn_seconds``.

    Returns:
      ``systems``, the arguments that ``turn`` accepts, and ``compile_seconds`` of the training
      step.
    """
    import jax

    from mbrl_jax.algorithms import init_state, make_step
    from mbrl_jax.algorithms.parts.actor_critic import ActorCriticConfig
    from mbrl_jax.algorithms.sac import Config, make_sac_algorithm
    from mbrl_jax.runtime.devices.compilation import compile_ahead, compiler_options

    self.setup_envs(name, envs, "mujoco", turn_seconds)
    config = Config(
      steps=envs * self.steps,
      init_steps=envs,
      capacity=CAPACITY,
      update_every=envs * self.steps,
      agent=ActorCriticConfig(hidden=HIDDEN),
    )
    algorithm = make_sac_algorithm(self.task.spec, config)
    algorithm = algorithm._replace(learn=lambda state, steps: state)
    state = jax.jit(lambda key: init_state(algorithm, self.task, key, envs))(jax.random.key(0))
    step = make_step(
      algorithm,
      self.task,
      steps=envs * self.steps,
      envs=envs,
      compiler_options=compiler_options(),
    )
    step, seconds = compile_ahead(step, state)
    state = jax.block_until_ready(step(state))[0]  # ends the initial uniform actions
    self.turns["training step"] = lambda: jax.block_until_ready(step(state))
    return {"systems": list(self.turns), "compile_seconds": seconds}


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in ("setup_collect", "turn")})
