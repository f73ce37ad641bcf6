"""Measures one replan of MPPI on MuJoCo tasks, everybody in turns.

The cost of the episodes beside each time shows that the controllers do the same work.
"""

from __future__ import annotations

import contextlib
import statistics

from experiments.benchmark.peers.mjcf_tasks import SAMPLES, TASKS, MjcfTask
from experiments.benchmark.peers.worker import Worker
from experiments.benchmark.request import Request, seconds
from experiments.benchmark.results import Report

OURS = "experiments.benchmark.peers.ours_mjx"
ENGINES = {"pendulum": ("mjx", "mujoco", "analytic"), "particle": ("mjx", "mujoco")}
PATIENCE = 300.0
"""Seconds that a job may take: batched programs have been seen to wait for ever on CPUs."""


def measure(report: Report, request: Request) -> None:
  """Adds the time of a replan, model steps per second and the cost of every entrant."""
  for name, engines in ENGINES.items():
    with contextlib.ExitStack() as stack:
      workers, ours = {}, [f"mbrl_jax {engine}" for engine in engines]
      for system, engine in zip(ours, engines, strict=True):
        workers[system] = stack.enter_context(Worker(OURS)), {"engine": engine}
      peer = stack.enter_context(request.peer_worker("mjx"))
      if peer:
        workers[peer[0]] = peer[1], {}
      _take_turns(report, request, TASKS[name], workers)
    report.add_ratios(f"mjx {name}", ours, peer and peer[0])


def _take_turns(
  report: Report, request: Request, task: MjcfTask, workers: dict[str, tuple[Worker, dict]]
) -> None:
  """Lets everybody replan episodes of one task."""
  what = f"mjx {task.name}"
  slow, costs = {}, {}
  for system, (worker, job) in workers.items():
    built = worker.ask("setup_mjx", timeout=PATIENCE, name=task.name, **job)
    report.add(what, system, "compile", built["compile_seconds"], "s")
  for _ in range(request.rounds):
    for system, (worker, _) in workers.items():
      answer = worker.ask("episode", timeout=PATIENCE)
      report.record(what, system, seconds(answer, what, system))
      slow.setdefault(system, []).append(answer["slow"])
      costs.setdefault(system, []).append(answer["cost"])
  for system in workers:
    took = report.median(what, system)
    report.add(what, system, "one replan", 1e3 * took, "ms")
    report.add(what, system, "slowest in 100", 1e3 * statistics.median(slow[system]), "ms")
    report.add(what, system, "model steps", SAMPLES * task.horizon / took, "1/s")
    report.add(what, system, "cost of the last third", statistics.mean(costs[system]), "")
