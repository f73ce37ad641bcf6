"""Measures environment steps per second of soft actor-critic, interleaved with the peer's.

All systems take one gradient step per ``PER_UPDATE`` environment steps, with equal nets and
batches: mbrl_jax in 64 environments of one program, Stable-Baselines3 and sbx in 8 processes.
"""

from __future__ import annotations

import contextlib

from experiments.benchmark.measures.rounds import System, set_up, time_rounds
from experiments.benchmark.peers.worker import Worker
from experiments.benchmark.request import Request
from experiments.benchmark.results import Report

WORKER = "experiments.benchmark.peers.ours_train"
TASK, GYMNASIUM = "hopper", "Hopper-v5"
STEPS = 6400
"""Environment steps of a round."""
PER_UPDATE = 64


def measure(report: Report, request: Request) -> None:
  """Adds environment steps per second of every system, and the ratio to the peer."""
  what = f"train {TASK}"
  with contextlib.ExitStack() as stack:
    worker = stack.enter_context(Worker(WORKER))
    systems: dict[str, System] = {"mbrl_jax": (worker, {"task": TASK})}
    peer = stack.enter_context(request.peer_worker("train"))
    if peer:
      systems[peer[0]] = peer[1], {"task": GYMNASIUM}
    set_up(report, what, systems, "setup_train", steps=STEPS, per_update=PER_UPDATE)
    time_rounds(report, request, what, systems, "train")
    for name in systems:
      report.add(what, name, "environment steps", STEPS / report.median(what, name), "1/s")
    report.add_ratios(what, ["mbrl_jax"], peer and peer[0])
