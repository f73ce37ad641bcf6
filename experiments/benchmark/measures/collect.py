"""Measures steps per second of the training step without gradient steps, and of bare MuJoCo."""

from __future__ import annotations

from experiments.benchmark.measures.envs import TIMEOUT
from experiments.benchmark.measures.rounds import measure_rates, median_ratio
from experiments.benchmark.peers.worker import Worker
from experiments.benchmark.request import Request
from experiments.benchmark.results import Report

TASKS = ("halfcheetah", "hopper", "ant", "cartpole")
ENVS = (64, 1024)
STEP, BARE = "training step", ("rollout from Python", "Batch from Python")


def measure(report: Report, request: Request) -> None:
  """Adds steps per second of the training step and its ratios to bare MuJoCo."""
  for name in request.tasks if request.tasks_given else TASKS:
    with Worker("experiments.benchmark.peers.ours_collect") as worker:
      for envs in ENVS:
        _measure_task(report, request, worker, name, envs)


def _measure_task(
  report: Report, request: Request, worker: Worker, name: str, envs: int
) -> None:
  """Measures one task with one number of environments."""
  case = f"{name} x{envs}"
  job = {"name": name, "envs": envs, "turn_seconds": request.turn_seconds}
  built = worker.call("setup_collect", timeout=TIMEOUT, **job)
  rates = measure_rates(report, request, worker, "collect", case, (STEP, *BARE), TIMEOUT)
  for bare in BARE:
    ratio = median_ratio(rates[STEP], rates[bare])
    report.add("collect", case, f"share of {bare}", ratio, "x")
  report.add("collect", case, "compile", built["compile_seconds"], "s")
