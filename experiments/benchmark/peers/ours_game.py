"""Runs the parts of an iteration of PAL on hopper for the benchmark."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmark.peers import protocol

TASK, ROWS, PATHS, ACTIONS = "hopper", 10_000, 50, 1000
"""Rows of the buffer, start states of imagined episodes, actions collected in an iteration."""


class Jobs:
  """Collects, fits, imagines and takes a policy step; keeps the programs between requests."""

  def setup_game(self, precision: str = "float32") -> dict:
    """Compiles the parts; returns the work of each."""
    import jax
    import jax.numpy as jnp

    from experiments.configs.pal import PRESETS
    from mbrl_jax import make_env
    from mbrl_jax.algorithms.parts.difference_model import DifferenceModelConfig
    from mbrl_jax.algorithms.parts.episode_buffer import Rows
    from mbrl_jax.algorithms.parts.imagined_trajectories import imagine
    from mbrl_jax.algorithms.parts.policy_improvement import (
      ImprovementConfig,
      acting_params,
      make_improver,
    )
    from mbrl_jax.envs.task import never
    from mbrl_jax.runtime.devices.compilation import compile_ahead, compiler_options
    from mbrl_jax.types import Transition

    preset = PRESETS["paper"][TASK]
    repeat, env = preset["action_repeat"], make_env(TASK)
    spec = env.spec._replace(terminated=never)  # episodes of full length
    model_config = DifferenceModelConfig(precision=precision)
    config = ImprovementConfig(
      obs_scale=preset["obs_scale"], paths=PATHS, world_model=model_config
    )
    improver = make_improver(spec, config, recent=ACTIONS, action_repeat=repeat)
    key = jax.random.key(0)
    policy, model = improver.init(key)

    def collect(policy: Any, state: Any, key: Any) -> Any:
      params = acting_params(policy)

      def step(loop: Any, key: Any) -> Any:
        state, carry = loop
        action, carry, _ = improver.actor.act(params, carry, state.obs, key)
        state, transition = env.step(state, action, key)
        return (state, carry), transition

      keys = jax.random.split(key, ACTIONS * repeat)
      return jax.lax.scan(step, (state, improver.actor.carry()), keys)[1]

    start = jax.jit(env.reset)(key)
    rng = np.random.default_rng(0)
    obs = np.float32(start.obs + 0.1 * rng.normal(size=(ROWS, spec.obs_dim)))
    action = np.float32(rng.uniform(-1, 1, (ROWS, spec.action_dim)))
    after = np.float32(obs + 0.01 * rng.normal(size=obs.shape))
    zeros, no = np.zeros(ROWS, np.float32), np.zeros(ROWS, bool)
    rows = Rows(Transition(obs, action, zeros, after, no, no), np.int32(ROWS))
    rows = jax.tree.map(jnp.asarray, rows)

    def fit(model: Any, key: Any) -> Any:
      return improver.model.fit(model, rows, jnp.int32(ACTIONS), key, jnp.ones((), bool))

    def rollout(model: Any, policy: Any, key: Any) -> Any:
      return imagine(
        improver.actor,
        improver.model,
        model.params,
        acting_params(policy),
        rows.data.obs[:PATHS],
        improver.horizon,
        key,
        limit=config.obs_limit,
      )

    options, total = compiler_options(), 0.0
    programs: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {}

    def add(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
      nonlocal total
      jitted = jax.jit(function, compiler_options=options)
      program, seconds = compile_ahead(jitted, *arguments)
      programs[name], total = (program, arguments), total + seconds
      return jax.block_until_ready(program(*arguments))

    add("collect", collect, policy, start, key)
    model, _ = add("fit", fit, model, key)
    trajectories = add("imagine", rollout, model, policy, key)
    add("policy step", improver.learner.update, policy.learner, trajectories, key)
    self.programs = programs
    (targets,) = jax.eval_shape(spec.target, start.obs, start.obs).shape
    sizes = (improver.actor.obs_dim + spec.action_dim, *model_config.hidden, targets)
    flops = 2 * sum(a * b for a, b in itertools.pairwise(sizes))
    imagined = model_config.members * PATHS * improver.horizon
    fitted = model_config.members * ROWS * model_config.epochs
    return {
      "compile_seconds": total,
      "times": {"imagine": config.policy_steps, "policy step": config.policy_steps},
      "work": {
        "imagine": {"count": imagined, "flops": imagined * flops},
        "fit": {"count": fitted, "flops": 3 * fitted * flops},
      },
    }

  def turn(self, part: str) -> dict:
    """Runs a part once."""
    import jax

    program, arguments = self.programs[part]
    start = time.perf_counter()
    result = jax.block_until_ready(program(*arguments))
    seconds = time.perf_counter() - start
    leaves = [x for x in jax.tree.leaves(result) if np.issubdtype(x.dtype, np.floating)]
    return {"seconds": seconds, "finite": all(bool(np.isfinite(x).all()) for x in leaves)}


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in ("setup_game", "turn")})
