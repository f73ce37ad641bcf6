"""Steps a second of the training step without gradient steps, beside bare MuJoCo's."""

from __future__ import annotations

import statistics

from experiments.benchmark.measures.envs import PATIENCE
from experiments.benchmark.peers.worker import Worker
from experiments.benchmark.request import Request
from experiments.benchmark.results import Report

TASKS = ("halfcheetah", "hopper", "ant", "cartpole")
ENVS = (64, 1024)
OURS, BARE = "training step", ("rollout from Python", "Batch from Python")


def measure(report: Report, request: Request) -> None:
  """Adds steps per second and their shares of bare MuJoCo's."""
  for name in request.tasks if request.chosen else TASKS:
    with Worker("experiments.benchmark.peers.ours_collect") as worker:
      for envs in ENVS:
        _take_turns(report, request, worker, name, envs)


def _take_turns(report: Report, request: Request, worker: Worker, name: str, envs: int) -> None:
  """Measures one task with one number of environments."""
  entrant = f"{name} x{envs}"
  job = {"name": name, "envs": envs, "turn_seconds": request.turn_seconds}
  built = worker.ask("setup_collect", timeout=PATIENCE, **job)
  rates: dict[str, list[float]] = {system: [] for system in (OURS, *BARE)}
  for _ in range(request.rounds):
    for system, values in rates.items():
      values.append(worker.ask("turn", timeout=PATIENCE, system=system)["rate"])
      report.record("collect", f"{entrant}, {system}", values[-1])
  for system, values in rates.items():
    report.add("collect", entrant, system, statistics.median(values), "1/s")
  for bare in BARE:
    shares = [a / b for a, b in zip(rates[OURS], rates[bare], strict=True)]
    report.add("collect", entrant, f"share of {bare}", statistics.median(shares), "x")
  report.add("collect", entrant, "compile", built["compile_seconds"], "s")
