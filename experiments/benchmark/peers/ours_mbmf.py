"""Plans with MBMF's random shooting over its net, for the benchmark."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.benchmark.peers import protocol
from experiments.benchmark.peers.numpy_mbmf import Net, draw_net, first_obs

TASK = "swimmer"


def paper_config(**values: Any) -> Any:
  """Returns the config of ``--algo=mbmf --preset=paper``, with fields replaced."""
  from experiments.command_line.config_flags import override, preset_values
  from mbrl_jax.algorithms.registry import default_config

  return override(default_config("mbmf"), {**preset_values("mbmf", "paper", TASK), **values})


def make_params(net: Net) -> Any:
  """Returns the parameters of the algorithm's model that has the weights of ``net``."""
  import jax
  import jax.numpy as jnp

  from mbrl_jax.models.ensemble_nets import EnsembleParams
  from mbrl_jax.ops.normalize import Normalizer

  network = {
    f"layer_{i}": {"kernel": kernel[None], "bias": bias[None]}
    for i, (kernel, bias) in enumerate(net.layers)
  }
  unused = np.zeros_like(net.targets[0])  # bounds of a variance
  params = EnsembleParams(
    network, unused, unused, Normalizer(*net.inputs), Normalizer(*net.targets)
  )
  return jax.tree.map(jnp.asarray, params)


class Jobs:
  """Plans; keeps the programs between requests, one per precision."""

  def __init__(self) -> None:
    """Starts without planners."""
    self.planners: dict[str, list[Any]] = {}

  def setup_plan(
    self, samples: int, horizon: int, hidden: Sequence[int], dtype: str = "float32"
  ) -> dict:
    """Compiles a replan and runs it once."""
    import jax
    import jax.numpy as jnp

    from mbrl_jax import make_env
    from mbrl_jax.algorithms.parts.model_planner import make_model_planner
    from mbrl_jax.runtime.devices.compilation import compile_ahead, compiler_options

    config = paper_config(
      **{
        "model.hidden": tuple(hidden),
        "model.precision": dtype,
        "planner.samples": samples,
        "planner.horizon": horizon,
      }
    )
    spec = make_env(TASK).spec
    planner = make_model_planner(spec, config.model, config.planner).planner
    params, obs = make_params(draw_net(hidden)), jnp.asarray(first_obs())
    state, key = planner.init(), jax.random.key(1)
    jitted = jax.jit(planner.plan, compiler_options=compiler_options())
    program, seconds = compile_ahead(jitted, params, obs, state, key)
    self.planners[dtype] = [lambda *rest: program(params, obs, *rest), state, key]
    self.plan(1, dtype)
    return {"compile_seconds": seconds}

  def plan(self, replans: int, dtype: str = "float32") -> dict:
    """Plans so many times with new candidates; returns the seconds of one."""
    import jax

    program, state, key = self.planners[dtype]
    key, *keys = jax.random.split(key, replans + 1)
    start = time.perf_counter()
    for plan_key in keys:
      out, state = program(state, plan_key)
      np.asarray(out.action)  # the robot waits for it
    seconds = (time.perf_counter() - start) / replans
    self.planners[dtype] = [program, state, key]
    finite = bool(np.isfinite(out.value)) and int(out.metrics["nonfinite"]) == 0
    return {"seconds": seconds, "finite": finite}


if __name__ == "__main__":
  worker = Jobs()
  protocol.serve({name: getattr(worker, name) for name in ("setup_plan", "plan")})
