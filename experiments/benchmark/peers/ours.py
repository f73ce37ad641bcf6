"""Does the benchmark's jobs with learned models in mbrl_jax, through its public functions.

Run by ``experiments.benchmark`` in a process of its own, which imports jax only when the
first job arrives, so that its memory is counted from the process' start.
"""

from __future__ import annotations

import time

import numpy as np

from experiments.benchmark.peers import protocol
from experiments.benchmark.peers.sizes import Sizes, first_obs


def _count_compilations() -> list[str]:
  """Returns a list that grows by one entry with every program that jax compiles."""
  import jax

  compiled = []

  def listen(event: str, duration: float, **_: object) -> None:
    if event.endswith("backend_compile_duration"):
      compiled.append(event)

  jax.monitoring.register_event_duration_secs_listener(listen)
  return compiled


class Jobs:
  """What this worker holds between requests: one planner a precision, one model to train."""

  def __init__(self):
    """Holds nothing yet."""
    self.plans = {}

  def setup_plan(self, sizes: Sizes, dtype: str = "float32") -> dict:
    """Builds the planner; the first of two steps compiles it."""
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
    self.change = jax.jit(lambda params: jax.tree.map(lambda x: 1.01 * x, params))
    jax.block_until_ready(self.change(params))
    self.plans[dtype] = [step, compiled, params, planner.init(), jax.random.key(1)]
    first, second = self.plan(dtype)["seconds"], self.plan(dtype)["seconds"]
    return {"compile_seconds": first - second}

  def plan(self, dtype: str = "float32", new_params: bool = False) -> dict:
    """Takes one planning step, with other parameters if asked; counts compilations."""
    import jax

    step, compiled, params, plan_state, key = self.plans[dtype]
    if new_params:
      params = jax.block_until_ready(self.change(params))
    before = len(compiled)
    key, plan_key = jax.random.split(key)
    start = time.perf_counter()
    out, plan_state = step(params, self.obs, plan_state, plan_key)
    action = np.asarray(out.action)
    seconds = time.perf_counter() - start
    self.plans[dtype] = [step, compiled, params, plan_state, key]
    finite = bool(np.isfinite(action).all()) and int(out.metrics["nonfinite"]) == 0
    return {"seconds": seconds, "finite": finite, "compilations": len(compiled) - before}

  def setup_fit(self, sizes: Sizes) -> dict:
    """Builds the model and compiles its training call."""
    import jax
    import optax

    import mbrl_jax
    from experiments.benchmark.peers import pets
    from mbrl_jax.runtime.devices.compilation import compile_ahead, compiler_options

    model = pets.make_model(sizes, weight_decay=1e-4)
    optimizer = optax.adam(1e-3)
    data = pets.training_set(pets.make_spec(sizes), sizes)
    params = model.init(jax.random.key(0), *data)

    def train(params, opt_state, key):
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
    self.trained, self.key = (params, opt_state), jax.random.key(1)
    jitted = jax.jit(train, compiler_options=compiler_options())
    self.train, seconds = compile_ahead(jitted, *self.trained, self.key)
    self.fit()
    return {"compile_seconds": seconds}

  def fit(self) -> dict:
    """Trains for one call on bootstraps drawn anew."""
    import jax

    self.key, key = jax.random.split(self.key)
    start = time.perf_counter()
    result = self.train(*self.trained, key)
    loss = float(result.metrics["loss"])
    seconds = time.perf_counter() - start
    self.trained = result.params, result.opt_state
    return {"seconds": seconds, "loss": loss, "finite": bool(np.isfinite(loss))}

  def memory(self) -> dict:
    """Reports resident memory in MiB."""
    return protocol.memory_mib()


if __name__ == "__main__":
  worker = Jobs()
  names = ("setup_plan", "plan", "setup_fit", "fit", "memory")
  protocol.serve({name: getattr(worker, name) for name in names})
