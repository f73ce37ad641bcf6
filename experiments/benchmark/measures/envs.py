"""Steps every MuJoCo task, beside bare MuJoCo with the same model and commands.

Ours is stepped by a call from Python for each control step, and by one compiled program for
all steps, which calls MuJoCo back once in each of them; ``mujoco.rollout`` is called from
Python once for each control step, and once for all; ``mujoco.batch.Batch`` once for each
control step, and again with positions and velocities of the new state.
"""

from __future__ import annotations

import statistics
import time

from experiments.benchmark.peers.worker import Worker, WorkerTimeout
from experiments.benchmark.request import Request
from experiments.benchmark.results import Report
from mbrl_jax.runtime.training.progress import duration

BATCHES = {"mujoco": (1, 64, 1024), "mjx": (1, 1024)}
PATIENCE = 900.0
"""Seconds that a job may take: MJX compiles for minutes."""

SHARES = {
  "share of rollout, from Python": ("from Python", "rollout from Python"),
  "share of rollout": ("one program", "rollout from Python"),
  "share of one rollout": ("one program", "one rollout"),
  "share of Batch": ("one program", "Batch from Python"),
  "share of Batch and look": ("one program", "Batch and look from Python"),
}
"""Ratios to report. All but the first and third call MuJoCo equally often on both sides."""


def measure(report: Report, request: Request) -> None:
  """Adds steps per second, their share of a bare rollout's, and compile seconds."""
  start = time.perf_counter()
  for i, name in enumerate(request.tasks):
    if i:
      left = (time.perf_counter() - start) / i * (len(request.tasks) - i)
      print(f"{i} of {len(request.tasks)} tasks done | ETA {duration(left)}", flush=True)
    for engine in request.engines:
      with Worker("experiments.benchmark.peers.ours_envs") as worker:
        for batch in BATCHES[engine]:
          try:
            if not _take_turns(report, request, worker, name, engine, batch):
              break
          except WorkerTimeout as error:
            print(f"{name} on {engine}, {batch} at once: gave up: {error}", flush=True)
            break


def _take_turns(
  report: Report, request: Request, worker: Worker, name: str, engine: str, batch: int
) -> bool:
  """Measures one task on one engine at one batch size, if it has that engine."""
  what, entrant = "envs", f"{name} {engine} x{batch}"
  job = {"name": name, "engine": engine, "batch": batch, "turn_seconds": request.turn_seconds}
  built = worker.ask("setup_envs", timeout=PATIENCE, **job)
  if not built["systems"]:
    return False
  rates: dict[str, list[float]] = {system: [] for system in built["systems"]}
  for _ in range(request.rounds):
    for system, values in rates.items():
      values.append(worker.ask("turn", timeout=PATIENCE, system=system)["rate"])
      report.record(what, f"{entrant}, {system}", values[-1])
  for system, values in rates.items():
    report.add(what, entrant, system, statistics.median(values), "1/s")
  for figure, (ours, bare) in SHARES.items() if engine == "mujoco" else ():
    shares = [a / b for a, b in zip(rates[ours], rates[bare], strict=True)]
    report.add(what, entrant, figure, statistics.median(shares), "x")
  report.add(what, entrant, "compile", built["compile_seconds"], "s")
  return True
