"""Measures one training call of the ensemble, everybody in turns."""

from __future__ import annotations

from experiments.benchmark.request import Request, seconds
from experiments.benchmark.results import Report


def measure(report: Report, request: Request) -> None:
  """Adds the training rows per second of every entrant, and ratios to the peer."""
  with request.entrants("fit", ("float32",)) as (started, peer):
    for system, (worker, _) in started.items():
      built = worker.ask("setup_fit", sizes=request.sizes)
      if built["compile_seconds"]:
        report.add("fit", system, "compile", built["compile_seconds"], "s")
    for _ in range(request.rounds):
      for system, (worker, _) in started.items():
        report.record("fit", system, seconds(worker.ask("fit"), "fit", system))
  for system in started:
    rate = request.sizes.fit_samples / report.median("fit", system)
    report.add("fit", system, "rows (members x points x epochs)", rate, "1/s")
  report.add_ratios("fit", [name for name in started if name != peer], peer)
