"""Measures MPPI on the pendulum, one command at a time, everybody in turns.

Everybody plans over the same equations with the same cost, noise and temperature; the
closed-loop return beside each time shows that it is the same work.
"""

from __future__ import annotations

import contextlib
import statistics

from experiments.benchmark.peers.worker import Worker
from experiments.benchmark.request import Request, seconds
from experiments.benchmark.results import Report

OURS = "experiments.benchmark.peers.ours_mppi"
JOBS = ((1000, 15), (1000, 30), (10_000, 15))
"""Samples and horizon."""


def measure(report: Report, request: Request) -> None:
  """Adds the time of a command and the return of an episode of every entrant."""
  with contextlib.ExitStack() as stack:
    workers = {"mbrl_jax": stack.enter_context(Worker(OURS))}
    peer = stack.enter_context(request.peer_worker("mppi"))
    if peer:
      workers[peer[0]] = peer[1]
    for samples, horizon in JOBS:
      what = f"mppi {samples} x {horizon}"
      _take_turns(report, request, what, workers, {"samples": samples, "horizon": horizon})
      report.add_ratios(what, ["mbrl_jax"], peer and peer[0])


def _take_turns(
  report: Report, request: Request, what: str, workers: dict[str, Worker], job: dict
) -> None:
  """Lets everybody command episodes of one job."""
  slow, returns = {}, {}
  for system, worker in workers.items():
    built = worker.ask("setup_mppi", **job)
    if built["compile_seconds"]:
      report.add(what, system, "compile", built["compile_seconds"], "s")
  for _ in range(request.rounds):
    for system, worker in workers.items():
      answer = worker.ask("episode")
      report.record(what, system, seconds(answer, what, system))
      slow.setdefault(system, []).append(answer["slow"])
      returns.setdefault(system, []).append(answer["return"])
  for system in workers:
    report.add(what, system, "one command", 1e3 * report.median(what, system), "ms")
    report.add(what, system, "slowest in 100", 1e3 * statistics.median(slow[system]), "ms")
    report.add(what, system, "return of an episode", statistics.mean(returns[system]), "")
