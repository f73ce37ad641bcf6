"""Measures one call of an MPPI controller on the pendulum, interleaved with the peer's.

All systems plan with the same dynamics, cost, noise and temperature; the closed-loop return of
the same episodes shows whether they do equal work.
"""

from __future__ import annotations

import contextlib
import statistics

from experiments.benchmark.measures.rounds import System, set_up, time_rounds
from experiments.benchmark.peers.worker import Worker
from experiments.benchmark.request import Request
from experiments.benchmark.results import Report

WORKER = "experiments.benchmark.peers.ours_mppi"
JOBS = ((1000, 15), (1000, 30), (10_000, 15))
"""Samples and horizon."""


def measure(report: Report, request: Request) -> None:
  """Adds the time of a call and the return of an episode of every system."""
  with contextlib.ExitStack() as stack:
    systems: dict[str, System] = {"mbrl_jax": (stack.enter_context(Worker(WORKER)), {})}
    peer = stack.enter_context(request.peer_worker("mppi"))
    if peer:
      systems[peer[0]] = peer[1], {}
    for samples, horizon in JOBS:
      what = f"mppi {samples} x {horizon}"
      _measure_job(report, request, what, systems, samples, horizon)
      report.add_ratios(what, ["mbrl_jax"], peer and peer[0])


def _measure_job(
  report: Report,
  request: Request,
  what: str,
  systems: dict[str, System],
  samples: int,
  horizon: int,
) -> None:
  """Measures episodes at one number of samples and one horizon on every system."""
  set_up(report, what, systems, "setup_mppi", samples=samples, horizon=horizon)
  answers = time_rounds(report, request, what, systems, "episode")
  for name, episodes in answers.items():
    slow = statistics.median(episode["slow"] for episode in episodes)
    returns = statistics.mean(episode["return"] for episode in episodes)
    report.add(what, name, "one command", 1e3 * report.median(what, name), "ms")
    report.add(what, name, "slowest in 100", 1e3 * slow, "ms")
    report.add(what, name, "return of an episode", returns, "")
