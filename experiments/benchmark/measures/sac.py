"""Measures gradient steps of soft actor-critic per second, everybody in turns.

Batch, nets and task sizes are those of MuJoCo's half-cheetah; each turn draws its batches from
a full buffer. Several seeds are so many independent learners in one program; the figure counts
the gradient steps of all of them.
"""

from __future__ import annotations

import contextlib

from experiments.benchmark.peers.worker import Worker
from experiments.benchmark.request import Request, seconds
from experiments.benchmark.results import Report

OURS = "experiments.benchmark.peers.ours_sac"
SEEDS = (1, 8)
STEPS = 100
"""Gradient steps of each seed in a turn."""


def measure(report: Report, request: Request) -> None:
  """Adds gradient steps per second of every entrant, and the ratios to the peer."""
  for seeds in SEEDS:
    what = f"sac {seeds} seed" + "s" * (seeds > 1)
    with contextlib.ExitStack() as stack:
      entrants = {
        f"mbrl_jax {dtype}": (stack.enter_context(Worker(OURS)), {"precision": dtype})
        for dtype in request.dtypes
      }
      ours = list(entrants)
      peer = stack.enter_context(request.peer_worker("sac")) if seeds == 1 else None
      if peer:
        entrants[peer[0]] = peer[1], {}
      _take_turns(report, request, what, entrants, seeds)
      report.add_ratios(what, ours, peer and peer[0])


def _take_turns(
  report: Report,
  request: Request,
  what: str,
  entrants: dict[str, tuple[Worker, dict]],
  seeds: int,
) -> None:
  """Lets everybody learn in turns."""
  for system, (worker, options) in entrants.items():
    built = worker.ask("setup_sac", seeds=seeds, steps=STEPS, **options)
    if built["compile_seconds"]:
      report.add(what, system, "compile", built["compile_seconds"], "s")
  for _ in range(request.rounds):
    for system, (worker, _) in entrants.items():
      report.record(what, system, seconds(worker.ask("learn"), what, system))
  for system in entrants:
    rate = seeds * STEPS / report.median(what, system)
    report.add(what, system, "gradient steps", rate, "1/s")
