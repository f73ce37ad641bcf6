"""Runs the parts of an iteration of PAL on hopper for the benchmark."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np

from experiments.benchmark.peers import protocol
from experiments.benchmark.peers.ours_parts import PartJobs

TASK, ROWS, PATHS, ACTIONS = "hopper", 10_000, 50, 1000
"""Rows of the buffer, start states of imagined episodes, actions collected in an iteration."""


def random_rows(spec: Any, start: np.ndarray) -> dict[str, np.ndarray]:
  """Returns the fields of ``ROWS`` transitions near ``start [O]``."""
  rng = np.random.default_rng(0)
  obs = np.float32(start + 0.1 * rng.normal(size=(ROWS, spec.obs_dim)))
  no = np.zeros(ROWS, bool)
  return {
    "obs": obs,
    "action": np.float32(rng.uniform(-1, 1, (ROWS, spec.action_dim))),
    "reward": np.zeros(ROWS, np.float32),
    "next_obs": np.float32(obs + 0.01 * rng.normal(size=obs.shape)),
    "terminated": no,
    "truncated": no,
  }


def work_of(improver: Any, inputs: int, outputs: int) -> dict[str, dict[str, float]]:
  """Returns the number of items and operations of a fit and of an imagination."""
  model = improver.config.world_model
  sizes = (inputs, *model.hidden, outputs)
  flops = 2 * sum(a * b for a, b in itertools.pairwise(sizes))
  imagined = model.members * PATHS * improver.horizon
  fitted = model.members * ROWS * model.epochs
  return {
    "imagine": {"count": imagined, "flops": imagined * flops},
    "fit": {"count": fitted, "flops": 3 * fitted * flops},
  }


class Jobs(PartJobs):
  """Collects, fits, imagines and takes a policy step."""

  def setup_game(self, precision: str = "float32") -> dict:
    """Compiles the parts; returns the work of each."""
    import jax
    import jax.numpy as jnp

    from experiments.configs.pal import PRESETS
    from mbrl_jax import make_env
    from mbrl_jax.algorithms.parts.difference_nets import DifferenceModelConfig
    from mbrl_jax.algorithms.parts.episode_buffer import Rows
    from mbrl_jax.algorithms.parts.policy_improvement import ImprovementConfig, make_improver
    from mbrl_jax.envs.task import never
    from mbrl_jax.types import Transition

    preset, env, key = PRESETS["paper"][TASK], make_env(TASK), jax.random.key(0)
    spec = env.spec._replace(terminated=never)  # episodes of full length
    config = ImprovementConfig(
      obs_scale=preset["obs_scale"],
      paths=PATHS,
      world_model=DifferenceModelConfig(precision=precision),
    )
    improver = make_improver(
      spec, config, recent=ACTIONS, action_repeat=preset["action_repeat"]
    )
    policy, model = improver.init(key)
    start = jax.jit(env.reset)(key)
    rows = Rows(Transition(**random_rows(spec, np.asarray(start.obs))), np.int32(ROWS))
    rows = jax.tree.map(jnp.asarray, rows)
    self.add_part("collect", functools.partial(_collect, improver, env), policy, start, key)
    count, yes = jnp.int32(ACTIONS), jnp.ones((), bool)
    fit = lambda model, key: improver.model.fit(model, rows, count, key, yes)
    model, _ = self.add_part("fit", fit, model, key)
    starts = rows.data.obs[:PATHS]
    rollout = functools.partial(_imagine, improver, starts)
    trajectories = self.add_part("imagine", rollout, model, policy, key)
    self.add_part("policy step", improver.learner.update, policy.learner, trajectories, key)
    (targets,) = jax.eval_shape(spec.target, start.obs, start.obs).shape
    return {
      "compile_seconds": self.compile_seconds,
      "times": {"imagine": config.policy_steps, "policy step": config.policy_steps},
      "work": work_of(improver, improver.actor.obs_dim + spec.action_dim, targets),
    }


def _collect(improver: Any, env: Any, policy: Any, state: Any, key: Any) -> Any:
  """Steps one environment with the policy."""
  import jax

  from mbrl_jax.algorithms.parts.policy_improvement import acting_params

  params = acting_params(policy)

  def step(loop: Any, key: Any) -> Any:
    state, carry = loop
    action, carry, _ = improver.actor.act(params, carry, state.obs, key)
    state, transition = env.step(state, action, key)
    return (state, carry), transition

  keys = jax.random.split(key, ACTIONS * improver.actor.action_repeat)
  return jax.lax.scan(step, (state, improver.actor.carry()), keys)[1]


def _imagine(improver: Any, starts: Any, model: Any, policy: Any, key: Any) -> Any:
  """Imagines the trajectories of a policy step."""
  from mbrl_jax.algorithms.parts.imagined_trajectories import imagine
  from mbrl_jax.algorithms.parts.policy_improvement import acting_params

  return imagine(
    improver.actor,
    improver.model,
    model.params,
    acting_params(policy),
    starts,
    improver.horizon,
    key,
    limit=improver.config.obs_limit,
  )


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in ("setup_game", "turn")})
