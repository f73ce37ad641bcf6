"""Measures steps per second of single environments inside a compiled loop."""

from __future__ import annotations

from experiments.benchmark.peers.worker import Worker
from experiments.benchmark.request import Request
from experiments.benchmark.results import Report


def measure(report: Report, request: Request) -> None:
  """Adds steps per second and compile seconds of every task and engine."""
  with Worker("experiments.benchmark.peers.ours_env") as worker:
    for name in request.envs:
      for physics in worker.call("physics", name=name)["physics"]:
        answer = worker.call("env", name=name, physics=physics)
        system = f"{name} {physics}"
        report.add("env", system, "steps", answer["rate"], "1/s")
        report.add("env", system, "compile", answer["compile_seconds"], "s")
