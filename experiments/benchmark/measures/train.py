"""Environment steps a second of soft actor-critic in many environments, everybody in turns.

One gradient step, of equal nets and batches, follows each ``PER_UPDATE`` environment steps:
ours takes them in 64 environments of one program, Stable-Baselines3 and sbx in 8 processes.
"""

from __future__ import annotations

import contextlib

from experiments.benchmark.peers.worker import Worker
from experiments.benchmark.request import Request, seconds
from experiments.benchmark.results import Report

TASK, GYMNASIUM = "hopper", "Hopper-v5"
STEPS = 6400
"""Environment steps of a turn."""
PER_UPDATE = 64


def measure(report: Report, request: Request) -> None:
  """Adds environment steps per second of every entrant, and the ratio to the peer."""
  what = f"train {TASK}"
  job = {"steps": STEPS, "per_update": PER_UPDATE}
  with contextlib.ExitStack() as stack:
    ours = stack.enter_context(Worker("experiments.benchmark.peers.ours_train"))
    entrants = {"mbrl_jax": (ours, TASK)}
    peer = stack.enter_context(request.peer_worker("train"))
    if peer:
      entrants[peer[0]] = peer[1], GYMNASIUM
    for system, (worker, task) in entrants.items():
      built = worker.ask("setup_train", task=task, **job)
      if built["compile_seconds"]:
        report.add(what, system, "compile", built["compile_seconds"], "s")
    for _ in range(request.rounds):
      for system, (worker, _) in entrants.items():
        report.record(what, system, seconds(worker.ask("train"), what, system))
    for system in entrants:
      report.add(what, system, "environment steps", STEPS / report.median(what, system), "1/s")
    report.add_ratios(what, ["mbrl_jax"], peer and peer[0])
