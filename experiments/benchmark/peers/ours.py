"""Plans and trains with mbrl_jax's learned models for the benchmark.

Imports jax only at the first job, so that the memory measurement includes jax.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from experiments.benchmark.peers import protocol
from experiments.benchmark.peers.sizes import Sizes, first_obs


def _count_compilations() -> list[str]:
  """Returns a list to which every compilation by jax appends an entry."""
  import jax

  compiled = []

  def listen(event: str, duration: float, **_: object) -> None:
    if event.endswith("backend_compile_duration"):
      compiled.append(event)

  jax.monitoring.register_event_duration_secs_listener(listen)
  return compiled


class Jobs:
  """Plans and trains; keeps one planner per precision and one model between requests."""

  def __init__(self) -> None:
    """Starts without planners."""
    self.planners: dict[str, list[Any]] = {}

  def setup_plan(self, sizes: Sizes, dtype: str = "float32") -> dict:
    """Makes the planner and takes two steps, of which the first compiles it."""
    import jax

    from experiments.benchmark.peers import pets
    from mbrl_jax.runtime.devices.compilation import compiler_options

    spec, model = pets.make_spec(sizes), pets.make_model(sizes, dtype)
    planner = pets.make_planner(model, spec, sizes)
    data = pets.training_set(spec, sizes)
    compiled = _count_compilations()
    params = model.init(jax.random.key(0), *data)
    step = jax.jit(planner.plan, compiler_options=compiler_options())
    self.obs = jax.numpy.asarray(first_obs(sizes))
    self.perturb = jax.jit(lambda params: jax.tree.map(lambda x: 1.01 * x, params))
    jax.block_until_ready(self.perturb(params))
    self.planners[dtype] = [step, compiled, params, planner.init(), jax.random.key(1)]
    first, second = self.plan(dtype)["seconds"], self.plan(dtype)["seconds"]
    return {"compile_seconds": first - second}

  def plan(self, dtype: str = "float32", new_params: bool = False) -> dict:
    """Takes one planning step, optionally with new parameters; counts compilations."""
    import jax

    step, compiled, params, plan_state, key = self.planners[dtype]
    if new_params:
      params = jax.block_until_ready(self.perturb(params))
    before = len(compiled)
    key, plan_key = jax.random.split(key)
    start = time.perf_counter()
    out, plan_state = step(params, self.obs, plan_state, plan_key)
    action = np.asarray(out.action)
    seconds = time.perf_counter() - start
    self.planners[dtype] = [step, compiled, params, plan_state, key]
    finite = bool(np.isfinite(action).all()) and int(out.metrics["nonfinite"]) == 0
    return {"seconds": seconds, "finite": finite, "compilations": len(compiled) - before}

  def setup_fit(self, sizes: Sizes) -> dict:
    """Makes the model and compiles its training call."""
    import jax
    import optax

    import mbrl_jax
    from experiments.benchmark.peers import pets
    from mbrl_jax.runtime.devices.compilation import compile_ahead, compiler_options

    model = pets.make_model(sizes, weight_decay=1e-4)
    optimizer = optax.adam(1e-3)
    data = pets.training_set(pets.make_spec(sizes), sizes)
    params = model.init(jax.random.key(0), *data)

    def train(params: Any, opt_state: Any, key: Any) -> Any:
      return mbrl_jax.fit(
        model,
        params,
        opt_state,
        *data,
        sizes.points,
        key,
        optimizer=optimizer,
        epochs=sizes.epochs,
        batch_size=sizes.batch,
      )

    opt_state = mbrl_jax.init_optimizer(model, optimizer, params)
    self.train_state, self.key = (params, opt_state), jax.random.key(1)
    jitted = jax.jit(train, compiler_options=compiler_options())
    self.train, seconds = compile_ahead(jitted, *self.train_state, self.key)
    self.fit()
    return {"compile_seconds": seconds}

  def fit(self) -> dict:
    """Runs one training call on newly drawn bootstraps."""
    import jax

    self.key, key = jax.random.split(self.key)
    start = time.perf_counter()
    result = self.train(*self.train_state, key)
    loss = float(result.metrics["loss"])
    seconds = time.perf_counter() - start
    self.train_state = result.params, result.opt_state
    return {"seconds": seconds, "loss": loss, "finite": bool(np.isfinite(loss))}

  def memory(self) -> dict:
    """Reports resident memory in MiB."""
    return protocol.memory_mib()


if __name__ == "__main__":
  worker = Jobs()
  names = ("setup_plan", "plan", "setup_fit", "fit", "memory")
  protocol.serve({name: getattr(worker, name) for name in names})
