"""Measures gradient steps of soft actor-critic per second, interleaved with the peer's.

Observation and action sizes are those of MuJoCo's half-cheetah; each gradient step samples its
batch from a full buffer. Several seeds are independent learners in one program; their gradient
steps are summed.
"""

from __future__ import annotations

import contextlib

from experiments.benchmark.measures.rounds import System, set_up, time_rounds
from experiments.benchmark.peers.worker import Worker
from experiments.benchmark.request import Request
from experiments.benchmark.results import Report

WORKER = "experiments.benchmark.peers.ours_sac"
SEEDS = (1, 8)
STEPS = 100
"""Gradient steps of each seed in a round."""


def measure(report: Report, request: Request) -> None:
  """Adds gradient steps per second of every system, and ratios to the peer."""
  for seeds in SEEDS:
    what = f"sac {seeds} seed" + "s" * (seeds > 1)
    with contextlib.ExitStack() as stack:
      systems: dict[str, System] = {
        f"mbrl_jax {dtype}": (stack.enter_context(Worker(WORKER)), {"precision": dtype})
        for dtype in request.dtypes
      }
      own = list(systems)
      peer = stack.enter_context(request.peer_worker("sac")) if seeds == 1 else None
      if peer:
        systems[peer[0]] = peer[1], {}
      set_up(report, what, systems, "setup_sac", seeds=seeds, steps=STEPS)
      time_rounds(report, request, what, systems, "learn")
      for name in systems:
        rate = seeds * STEPS / report.median(what, name)
        report.add(what, name, "gradient steps", rate, "1/s")
      report.add_ratios(what, own, peer and peer[0])
