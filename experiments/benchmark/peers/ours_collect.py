"""Collects with a policy in many environments, beside bare MuJoCo, for the benchmark.

The training step is whole but for its gradient steps: the policy acts, the task observes and
rewards, transitions go to the buffer, episodes end and begin anew. Bare MuJoCo does nothing of
the kind.
"""

from __future__ import annotations

from experiments.benchmark.peers import ours_envs, protocol

HIDDEN = (64, 64)
ROWS = 100_000
"""Transitions in the buffer."""


class Jobs(ours_envs.Jobs):
  """What this worker holds between requests: one task with so many environments."""

  def setup_collect(self, name: str, envs: int, turn_seconds: float) -> dict:
    """Builds everything for one task; a turn takes about so long.

    Returns:
      Systems that can take turns, and the seconds that compiling the training step took.
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
      capacity=ROWS,
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
    state = jax.block_until_ready(step(state))[0]  # the uniform actions are over
    self.turns["training step"] = lambda: jax.block_until_ready(step(state))
    return {"systems": list(self.turns), "compile_seconds": seconds}


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in ("setup_collect", "turn")})
