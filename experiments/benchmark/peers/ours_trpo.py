"""Runs an iteration of TRPO, and its parts, for the benchmark."""

from __future__ import annotations

from typing import Any

from experiments.benchmark.peers import protocol
from experiments.benchmark.peers.ours_parts import PartJobs

TASK = "halfcheetah_mbmf"


class Jobs(PartJobs):
  """Collects a batch and learns from it."""

  def setup_trpo(self, batch: int, envs: int) -> dict:
    """Compiles an iteration and its parts; see ``measures.mbmf``.

    Args:
      batch: environment steps of an iteration, of all environments together.
      envs: environments in one program.
    """
    import jax

    from experiments.command_line.config_flags import override, preset_values
    from mbrl_jax import make_env
    from mbrl_jax.algorithms import init_state, make_algorithm, make_step
    from mbrl_jax.algorithms.registry import default_config

    values = {**preset_values("trpo", "paper", TASK), "batch": batch}
    config, env = override(default_config("trpo"), values), make_env(TASK)
    algorithm = make_algorithm("trpo", env.spec, config)
    start = jax.jit(lambda key: init_state(algorithm, env, key, envs))(jax.random.key(0))
    step = make_step(algorithm, env, steps=batch, envs=envs)
    state, _ = self.add_part("iteration", step, start)
    # The second iteration, because the first has no baseline.
    self.programs["iteration"] = self.programs["iteration"][0], (state,)
    collecting = algorithm._replace(update=lambda state: (state, {}))
    collect = make_step(collecting, env, steps=batch, envs=envs)
    state, _ = self.add_part("collect", collect, state)
    self._add_learning(env.spec, config, state)
    return {"compile_seconds": self.compile_seconds}

  def _add_learning(self, spec: Any, config: Any, state: Any) -> None:
    """Compiles the parts of the update of ``state``, whose batch is full."""
    import jax
    import jax.numpy as jnp

    from mbrl_jax.algorithms.parts.gaussian_actor import make_gaussian_actor
    from mbrl_jax.algorithms.parts.natural_gradient import trpo_learner
    from mbrl_jax.algorithms.parts.trajectory_batch import trajectories
    from mbrl_jax.algorithms.parts.value_baseline import make_baseline
    from mbrl_jax.ops.running_statistics import normalizer_of, root_mean_square

    learn, key = state.learn, jax.random.key(1)
    actor = make_gaussian_actor(spec, config.policy)
    scaling, scale = normalizer_of(learn.observations), root_mean_square(learn.returns)[0]
    make = jax.jit(lambda batch: trajectories(actor, scaling, batch, scale))
    data = make(learn.batch)
    baseline = make_baseline(actor.obs_dim, config.baseline)
    unfitted = baseline._replace(fit=lambda state, *rows: (state, {}))
    learner, _ = trpo_learner(actor.policy, unfitted, config.trpo, config.policy)
    self.add_part("policy step", learner.update, learn.learner, data, key)
    # Any targets: the work does not depend on them.
    rows = (data.obs, data.time, data.reward, data.valid)
    flat = [jnp.reshape(x, (-1, *x.shape[2:])) for x in rows]
    self.add_part("baseline fit", baseline.fit, learn.learner.baseline, *flat, key)


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in ("setup_trpo", "turn")})
