"""Measures the memory of planning in a fresh process, and recompilation on new parameters."""

from __future__ import annotations

from experiments.benchmark.request import Request
from experiments.benchmark.results import Report


def measure(report: Report, request: Request) -> None:
  """Adds peak memory above the process' start, and recompilations on new parameters."""
  with request.systems("memory", ("float32",)) as (systems, peer):
    for name, (worker, _) in systems.items():
      start = worker.call("memory")["now"]
      worker.call("setup_plan", sizes=request.sizes)
      worker.call("plan")
      if name != peer:
        compiled = worker.call("plan", new_params=True)["compilations"]
        report.add("memory", name, "compilations on new parameters", compiled, "")
      peak = worker.call("memory")["peak"]
      report.add("memory", name, "peak above the process' start", peak - start, "MiB")
