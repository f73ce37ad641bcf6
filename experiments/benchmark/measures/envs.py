"""Steps every MuJoCo task, and bare MuJoCo with the same model and motor commands.

mbrl_jax steps a task by one call from Python per control step, and by one compiled program for
all steps, which calls back into MuJoCo once per step. ``mujoco.rollout`` is called from Python
once per control step, and once for all steps. ``mujoco.batch.Batch`` is called once per control
step, with and without computing positions and velocities of the new state.
"""

from __future__ import annotations

import time

from experiments.benchmark.measures.rounds import measure_rates, median_ratio
from experiments.benchmark.peers.worker import Worker, WorkerTimeout
from experiments.benchmark.request import Request
from experiments.benchmark.results import Report
from mbrl_jax.runtime.training.progress import duration

BATCHES = {"mujoco": (1, 64, 1024), "mjx": (1, 1024)}
TIMEOUT = 900.0
"""Seconds that a job may take: MJX compiles for minutes."""

SHARES = {
  "share of rollout, from Python": ("from Python", "rollout from Python"),
  "share of rollout": ("one program", "rollout from Python"),
  "share of one rollout": ("one program", "one rollout"),
  "share of Batch": ("one program", "Batch from Python"),
  "share of Batch and look": ("one program", "Batch and look from Python"),
}
"""Ratios to report. Except in the third, both sides call MuJoCo equally often."""


def measure(report: Report, request: Request) -> None:
  """Adds steps per second, their ratios to bare MuJoCo, and compile seconds."""
  start = time.perf_counter()
  for i, name in enumerate(request.tasks):
    if i:
      left = (time.perf_counter() - start) / i * (len(request.tasks) - i)
      print(f"{i} of {len(request.tasks)} tasks done | ETA {duration(left)}", flush=True)
    for engine in request.engines:
      with Worker("experiments.benchmark.peers.ours_envs") as worker:
        for batch in BATCHES[engine]:
          try:
            if not _measure_task(report, request, worker, name, engine, batch):
              break
          except WorkerTimeout as error:
            print(f"{name} on {engine}, batch of {batch}: timed out: {error}", flush=True)
            break


def _measure_task(
  report: Report, request: Request, worker: Worker, name: str, engine: str, batch: int
) -> bool:
  """Measures one task at one batch size; false if it does not run on this engine."""
  what, case = "envs", f"{name} {engine} x{batch}"
  job = {"name": name, "engine": engine, "batch": batch, "turn_seconds": request.turn_seconds}
  built = worker.call("setup_envs", timeout=TIMEOUT, **job)
  if not built["systems"]:
    return False
  rates = measure_rates(report, request, worker, what, case, built["systems"], TIMEOUT)
  for figure, (jax_loop, bare) in SHARES.items() if engine == "mujoco" else ():
    report.add(what, case, figure, median_ratio(rates[jax_loop], rates[bare]), "x")
  report.add(what, case, "compile", built["compile_seconds"], "s")
  return True
