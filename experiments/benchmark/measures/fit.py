"""Measures one training call of the ensemble, interleaved with the peer's."""

from __future__ import annotations

from experiments.benchmark.measures.rounds import set_up, time_rounds
from experiments.benchmark.request import Request
from experiments.benchmark.results import Report


def measure(report: Report, request: Request) -> None:
  """Adds training rows per second of every system, and ratios to the peer."""
  with request.systems("fit", ("float32",)) as (systems, peer):
    workers = {name: (worker, {}) for name, (worker, _) in systems.items()}
    set_up(report, "fit", workers, "setup_fit", sizes=request.sizes)
    time_rounds(report, request, "fit", workers, "fit")
  for name in systems:
    rate = request.sizes.fit_samples / report.median("fit", name)
    report.add("fit", name, "rows (members x points x epochs)", rate, "1/s")
  report.add_ratios("fit", [name for name in systems if name != peer], peer)
