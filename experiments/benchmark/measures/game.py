"""Measures the parts of an iteration of PAL on hopper, as shares of its time and of the peak.

An iteration collects 2,000 environment steps, fits four nets of 512, 512 to 10,000 rows in 25
epochs, and five times imagines 200 episodes of 500 steps and takes a natural gradient step.
"""

from __future__ import annotations

import statistics

from experiments.benchmark.measures.ceiling import Ceiling
from experiments.benchmark.peers.worker import Worker
from experiments.benchmark.request import Request, seconds
from experiments.benchmark.results import Report

WORKER = "experiments.benchmark.peers.ours_game"
PARTS = ("collect", "fit", "imagine", "policy step")
UNITS = {"fit": "rows (members x points x epochs)", "imagine": "imagined steps"}


def measure(report: Report, request: Request) -> None:
  """Adds seconds of each part in an iteration, rates, and shares of the peak."""
  with Ceiling(request.dtypes) as ceiling:
    for dtype in request.dtypes:
      with Worker(WORKER) as worker:
        _measure_precision(report, request, worker, ceiling, dtype)


def _measure_precision(
  report: Report, request: Request, worker: Worker, ceiling: Ceiling, dtype: str
) -> None:
  """Measures one precision of the model."""
  what, name = "game", f"mbrl_jax {dtype}"
  built = worker.call("setup_game", timeout=None, precision=dtype)
  report.add(what, name, "compile", built["compile_seconds"], "s")
  found: dict[str, list[float]] = {part: [] for part in PARTS}
  shares: dict[str, list[float]] = {part: [] for part in built["work"]}
  for _ in range(request.rounds):
    for part in PARTS:
      taken = seconds(worker.call("turn", timeout=None, part=part), what, name)
      report.record(what, f"{name}, {part}", taken)
      found[part].append(taken)
      if part in shares:
        peak = ceiling.measure(dtype)
        shares[part].append(built["work"][part]["flops"] / taken / peak)
  times = {p: built["times"].get(p, 1) * statistics.median(found[p]) for p in PARTS}
  for part, taken in times.items():
    report.add(what, name, f"{part}, in an iteration", taken, "s")
    report.add(what, name, f"{part}, share", taken / sum(times.values()), "x")
  for part, work in built["work"].items():
    rate = work["count"] / statistics.median(found[part])
    report.add(what, name, UNITS[part], rate, "1/s")
    source = f"{part}, share of the peak ({ceiling.source})"
    report.add(what, name, source, statistics.median(shares[part]), "x")
