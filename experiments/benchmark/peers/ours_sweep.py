"""Measures one row of the benchmark's sweep: one size, precision and number of devices.

Run by ``experiments.benchmark --what=sweep``, one process per row, so that memory is measured
per row and a row that runs out of memory does not affect the others.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from experiments.benchmark.peers import protocol
from experiments.benchmark.peers.sizes import Sizes, first_obs


class Jobs:
  """Plans; keeps the compiled planner between requests."""

  def setup(self, sizes: Sizes, dtype: str, devices: int) -> dict:
    """Makes and compiles the planner.

    Raises:
      RuntimeError: fewer than ``devices`` devices are available.
      MemoryError: the program needs more memory than is free; it is not run.
    """
    import jax

    from experiments.benchmark.peers import pets
    from mbrl_jax.runtime.devices.compilation import compile_ahead, compiler_options

    if jax.device_count() < devices:
      raise RuntimeError(f"needs {devices} devices, {jax.device_count()} are available")
    spec, model = pets.make_spec(sizes), pets.make_model(sizes, dtype)
    sharding, layout = _layout(devices)
    planner = pets.make_planner(model, spec, sizes, sharding)
    params = model.init(jax.random.key(0), *pets.training_set(spec, sizes))
    self.inputs = params, jax.numpy.asarray(first_obs(sizes))
    self.plan_state, self.key = planner.init(), jax.random.key(1)
    jitted = jax.jit(planner.plan, compiler_options=compiler_options(), **layout)
    self.step, seconds = compile_ahead(jitted, *self.inputs, self.plan_state, self.key)
    _check_memory(self.step)
    return {"compile_seconds": seconds}

  def measure(self, seconds: float) -> dict:
    """Takes steps for ``seconds``, at least two after a warm-up; returns their median time."""
    import jax

    times, finite, end = [], True, None
    while end is None or len(times) < 2 or time.perf_counter() < end:
      self.key, key = jax.random.split(self.key)
      start = time.perf_counter()
      out, _ = self.step(*self.inputs, self.plan_state, key)
      finite &= bool(np.isfinite(np.asarray(out.action)).all())
      took = time.perf_counter() - start
      finite &= int(out.metrics["nonfinite"]) == 0
      if end is None:
        end = time.perf_counter() + seconds
      else:
        times.append(took)
    return {
      "seconds": statistics.median(times),
      "steps": len(times),
      "finite": finite,
      "memory_mib": _peak_mib(),
    }


def _layout(devices: int) -> tuple[Any, dict[str, Any]]:
  """Shards the candidates over the devices; returns the rows' sharding and jit's options."""
  import jax

  from mbrl_jax.runtime.devices.mesh import make_mesh, replicated, row_sharding

  if devices == 1:
    return None, {}
  mesh = make_mesh(candidates=devices, devices=jax.devices()[:devices])
  copied = replicated(mesh)
  return row_sharding(mesh), {"in_shardings": copied, "out_shardings": copied}


def _check_memory(compiled: Any) -> None:
  """Raises ``MemoryError`` if a program's buffers do not fit into free memory.

  Checks only CPUs, where nothing else stops a program from exhausting the machine's memory.
  """
  import jax

  needed = compiled.memory_analysis()
  device = jax.devices()[0]
  if needed is None or device.platform != "cpu":
    return
  mib = (needed.temp_size_in_bytes + needed.output_size_in_bytes) / protocol.MIB
  if mib > 0.8 * protocol.free_mib():
    raise MemoryError(f"needs {mib:,.0f} MiB, {protocol.free_mib():,.0f} are free")


def _peak_mib() -> float:
  """Returns the largest device peak, or the process' peak if jax reports none, in MiB."""
  import jax

  stats = [device.memory_stats() for device in jax.local_devices()]
  if all(stats):
    return max(s["peak_bytes_in_use"] for s in stats) / protocol.MIB
  return protocol.memory_mib()["peak"]


if __name__ == "__main__":
  worker = Jobs()
  names = ("setup", "measure")
  protocol.serve({name: getattr(worker, name) for name in names})
