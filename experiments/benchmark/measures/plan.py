"""Measures one PETS planning step, interleaved with the peer's and with a CPU's peak."""

from __future__ import annotations

from experiments.benchmark.measures.ceiling import Ceiling
from experiments.benchmark.measures.rounds import set_up
from experiments.benchmark.request import Request, seconds
from experiments.benchmark.results import Report


def measure(report: Report, request: Request) -> None:
  """Adds seconds, rate and fraction of the peak of every system, and ratios to the peer."""
  sizes = request.sizes
  with Ceiling(request.dtypes) as ceiling:
    peaks = dict.fromkeys(map(ceiling.name, request.dtypes))
    with request.systems("plan", request.dtypes) as (systems, peer):
      workers = {name: (worker, {"dtype": dtype}) for name, (worker, dtype) in systems.items()}
      set_up(report, "plan", workers, "setup_plan", sizes=sizes)
      for _ in range(request.rounds):
        for name in peaks:
          report.record("plan peak", name, ceiling.measure(name))
        for name, (worker, dtype) in systems.items():
          answer = worker.call("plan", dtype=dtype)
          report.record("plan", name, seconds(answer, "plan", name))
  for name, (_, dtype) in systems.items():
    precision = ceiling.name(dtype)
    rate = sizes.plan_flops / report.median("plan", name)
    report.add("plan", name, "one planning step", report.median("plan", name), "s")
    report.add("plan", name, "rate", rate / 1e9, "GFLOP/s")
    fraction = rate / report.median("plan peak", precision)
    report.add("plan", name, f"of the measured {precision} peak", fraction, "")
  report.add_ratios("plan", [name for name in systems if name != peer], peer)
