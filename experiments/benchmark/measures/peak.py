"""Measures the peak rates that fractions refer to."""

from __future__ import annotations

from experiments.benchmark.measures.ceiling import Ceiling
from experiments.benchmark.request import Request
from experiments.benchmark.results import Report


def measure(report: Report, request: Request) -> None:
  """Adds the float32 peak of a CPU, or the peak of each precision of another device."""
  with Ceiling(request.dtypes) as ceiling:
    for name in dict.fromkeys(map(ceiling.name, request.dtypes)):
      for _ in range(request.rounds):
        report.record("peak", name, ceiling.measure(name))
      rate = report.median("peak", name) / 1e9
      report.add("peak", name, ceiling.source, rate, "GFLOP/s")
