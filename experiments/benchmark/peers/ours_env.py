"""Steps single environments of mbrl_jax for the benchmark."""

from __future__ import annotations

import time
from typing import Any

from experiments.benchmark.peers import protocol

PHYSICS = ("analytic", "mujoco", "mjx")


def physics(name: str) -> dict:
  """Lists the physics engines of a task."""
  import mbrl_jax

  found = []
  for engine in PHYSICS:
    try:
      mbrl_jax.make_env(name, physics=engine)
    except ValueError:
      continue
    found.append(engine)
  return {"physics": found}


def env(name: str, physics: str, steps: int = 1000) -> dict:
  """Steps one environment with random actions in a compiled loop."""
  import jax

  import mbrl_jax
  from mbrl_jax.runtime.devices.compilation import compile_ahead, compiler_options

  task = mbrl_jax.make_env(name, physics=physics)
  low, high = task.spec.action_low, task.spec.action_high

  def step(state: Any, key: Any) -> tuple[Any, Any]:
    action_key, key = jax.random.split(key)
    action = jax.random.uniform(action_key, low.shape, minval=low, maxval=high)
    state, transition = task.step(state, action, key)
    return state, transition.reward

  def run(key: Any) -> Any:
    reset_key, key = jax.random.split(key)
    return jax.lax.scan(step, task.reset(reset_key), jax.random.split(key, steps))[1]

  jitted = jax.jit(run, compiler_options=compiler_options())
  compiled, seconds = compile_ahead(jitted, jax.random.key(0))
  jax.block_until_ready(compiled(jax.random.key(0)))
  start = time.perf_counter()
  jax.block_until_ready(compiled(jax.random.key(1)))
  return {"rate": steps / (time.perf_counter() - start), "compile_seconds": seconds}


if __name__ == "__main__":
  protocol.serve({"physics": physics, "env": env})
