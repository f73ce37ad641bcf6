"""Measures one row of the benchmark's sweep in mbrl_jax: one size, precision and device count.

Run by ``experiments.benchmark --what=sweep``, one process a row, so that a row that takes
all the memory harms no other and every row's memory is its own.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from experiments.benchmark.peers import protocol
from experiments.benchmark.peers.sizes import Sizes, first_obs


class Jobs:
  """What this worker holds between requests."""

  def setup(self, sizes: Sizes, dtype: str, devices: int) -> dict:
    """Builds the planner and compiles it.

    Raises:
      RuntimeError: there are fewer devices.
      MemoryError: the program would take more memory than there is; it never runs then.
    """
    import jax

    from experiments.benchmark.peers import pets
    from mbrl_jax.runtime.devices.compilation import compile_ahead, compiler_options

    if jax.device_count() < devices:
      raise RuntimeError(f"needs {devices} devices, there are {jax.device_count()}")
    spec, model = pets.make_spec(sizes), pets.make_model(sizes, dtype)
    sharding, layout = _layout(devices)
    planner = pets.make_planner(model, spec, sizes, sharding)
    params = model.init(jax.random.key(0), *pets.training_set(spec, sizes))
    self.given = params, jax.numpy.asarray(first_obs(sizes))
    self.plan_state, self.key = planner.init(), jax.random.key(1)
    jitted = jax.jit(planner.plan, compiler_options=compiler_options(), **layout)
    self.step, seconds = compile_ahead(jitted, *self.given, self.plan_state, self.key)
    _check_memory(self.step)
    return {"compile_seconds": seconds}

  def measure(self, seconds: float) -> dict:
    """Takes planning steps for a while, at least two after a first; reports the median."""
    import jax

    taken, finite, end = [], True, None
    while end is None or len(taken) < 2 or time.perf_counter() < end:
      self.key, key = jax.random.split(self.key)
      start = time.perf_counter()
      out, _ = self.step(*self.given, self.plan_state, key)
      finite &= bool(np.isfinite(np.asarray(out.action)).all())
      took = time.perf_counter() - start
      finite &= int(out.metrics["nonfinite"]) == 0
      if end is None:
        end = time.perf_counter() + seconds
      else:
        taken.append(took)
    return {
      "seconds": statistics.median(taken),
      "steps": len(taken),
      "finite": finite,
      "memory_mib": _peak_mib(),
    }


def _layout(devices: int) -> tuple:
  """Spreads the candidates over the devices; returns the rows' sharding and jit's options."""
  import jax

  from mbrl_jax.runtime.devices.mesh import make_mesh, replicated, row_sharding

  if devices == 1:
    return None, {}
  mesh = make_mesh(candidates=devices, devices=jax.devices()[:devices])
  everywhere = replicated(mesh)
  return row_sharding(mesh), {"in_shardings": everywhere, "out_shardings": everywhere}


def _check_memory(compiled) -> None:
  """Raises ``MemoryError`` where a program's buffers do not fit into what is free.

  On a CPU nothing else stops a program from taking what the machine lives on.
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
  """Returns the peak of the fullest device, or of the process where jax does not count."""
  import jax

  stats = [device.memory_stats() for device in jax.local_devices()]
  if all(stats):
    return max(s["peak_bytes_in_use"] for s in stats) / protocol.MIB
  return protocol.memory_mib()["peak"]


if __name__ == "__main__":
  worker = Jobs()
  names = ("setup", "measure")
  protocol.serve({name: getattr(worker, name) for name in names})
