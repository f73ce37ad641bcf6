"""Measures one replan of MPPI on MuJoCo tasks, interleaved with the peer's.

The cost of the same episodes shows whether the controllers do equal work.
"""

from __future__ import annotations

import contextlib
import statistics

from experiments.benchmark.measures.rounds import System, set_up, time_rounds
from experiments.benchmark.peers.mjcf_tasks import SAMPLES, TASKS, MjcfTask
from experiments.benchmark.peers.worker import Worker
from experiments.benchmark.request import Request
from experiments.benchmark.results import Report

WORKER = "experiments.benchmark.peers.ours_mjx"
ENGINES = {"pendulum": ("mjx", "mujoco", "analytic"), "particle": ("mjx", "mujoco")}
TIMEOUT = 300.0
"""Seconds that a job may take: batched programs have been seen to hang on CPUs."""


def measure(report: Report, request: Request) -> None:
  """Adds the time of a replan, model steps per second and the cost of every system."""
  for name, engines in ENGINES.items():
    systems: dict[str, System] = {}
    with contextlib.ExitStack() as stack:
      for engine in engines:
        worker = stack.enter_context(Worker(WORKER))
        systems[f"mbrl_jax {engine}"] = worker, {"engine": engine}
      own = list(systems)
      peer = stack.enter_context(request.peer_worker("mjx"))
      if peer:
        systems[peer[0]] = peer[1], {}
      _measure_task(report, request, TASKS[name], systems)
    report.add_ratios(f"mjx {name}", own, peer and peer[0])


def _measure_task(
  report: Report, request: Request, task: MjcfTask, systems: dict[str, System]
) -> None:
  """Measures episodes of one task on every system."""
  what = f"mjx {task.name}"
  set_up(report, what, systems, "setup_mjx", TIMEOUT, name=task.name)
  answers = time_rounds(report, request, what, systems, "episode", TIMEOUT)
  for name, episodes in answers.items():
    took = report.median(what, name)
    slow = statistics.median(episode["slow"] for episode in episodes)
    cost = statistics.mean(episode["cost"] for episode in episodes)
    report.add(what, name, "one replan", 1e3 * took, "ms")
    report.add(what, name, "slowest in 100", 1e3 * slow, "ms")
    report.add(what, name, "model steps", SAMPLES * task.horizon / took, "1/s")
    report.add(what, name, "cost of the last third", cost, "")
