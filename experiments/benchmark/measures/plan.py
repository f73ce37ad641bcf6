"""Measures one PETS planning step, everybody in turns, a CPU's peak in each turn."""

from __future__ import annotations

from experiments.benchmark.measures.ceiling import Ceiling
from experiments.benchmark.request import Request, seconds
from experiments.benchmark.results import Report


def measure(report: Report, request: Request) -> None:
  """Adds seconds, rate and fraction of the peak of every entrant, and ratios to the peer."""
  sizes = request.sizes
  with Ceiling(request.dtypes) as ceiling:
    peaks = dict.fromkeys(map(ceiling.name, request.dtypes))
    with request.entrants("plan", request.dtypes) as (started, peer):
      for system, (worker, dtype) in started.items():
        built = worker.ask("setup_plan", sizes=sizes, dtype=dtype)
        if built["compile_seconds"]:
          report.add("plan", system, "compile", built["compile_seconds"], "s")
      for _ in range(request.rounds):
        for name in peaks:
          report.record("plan peak", name, ceiling.measure(name))
        for system, (worker, dtype) in started.items():
          answer = worker.ask("plan", dtype=dtype)
          report.record("plan", system, seconds(answer, "plan", system))
  for system, (_, dtype) in started.items():
    name = ceiling.name(dtype)
    rate = sizes.plan_flops / report.median("plan", system)
    report.add("plan", system, "one planning step", report.median("plan", system), "s")
    report.add("plan", system, "rate", rate / 1e9, "GFLOP/s")
    fraction = rate / report.median("plan peak", name)
    report.add("plan", system, f"of the measured {name} peak", fraction, "")
  report.add_ratios("plan", [name for name in started if name != peer], peer)
