"""Measures what planning needs in a fresh process, and whether new parameters compile."""

from __future__ import annotations

from experiments.benchmark.request import Request
from experiments.benchmark.results import Report


def measure(report: Report, request: Request) -> None:
  """Adds memory above the process' start, and our compilations on new parameters."""
  with request.entrants("memory", ("float32",)) as (started, peer):
    for system, (worker, _) in started.items():
      start = worker.ask("memory")["now"]
      worker.ask("setup_plan", sizes=request.sizes)
      worker.ask("plan")
      if system != peer:
        compiled = worker.ask("plan", new_params=True)["compilations"]
        report.add("memory", system, "compilations on new parameters", compiled, "")
      peak = worker.ask("memory")["peak"]
      report.add("memory", system, "peak above the process' start", peak - start, "MiB")
