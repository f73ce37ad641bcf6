"""Measures MBMF's planning, beside numpy, and the TRPO of its model-free runs.

Planning: a replan of the task ``swimmer``, 5,000 plans of 20 steps over a net of 500 units, in
one compiled call; in numpy by the loop of the released code, see ``peers.numpy_mbmf``.

TRPO: an iteration on ``halfcheetah_mbmf`` as training runs it, 50,000 steps of 50 environments
and the update in one compiled call. Its parts are also programs of their own, run apart from
it, so that timing them does not slow it down: collecting; the policy step with its advantages;
the fit of the baseline. The small rest is statistics of observations and returns.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from typing import Any

from experiments.benchmark.measures.ceiling import Ceiling
from experiments.benchmark.measures.rounds import System, set_up
from experiments.benchmark.peers import ours_mbmf
from experiments.benchmark.peers.numpy_mbmf import ACTION_DIM, OBS_DIM
from experiments.benchmark.peers.worker import Worker
from experiments.benchmark.request import Request, seconds
from experiments.benchmark.results import Report

PLANNING, NUMPY, TRPO = (
  f"experiments.benchmark.peers.{name}" for name in ("ours_mbmf", "numpy_mbmf", "ours_trpo")
)
REPLANS = 10
"""Replans of a round."""
BATCH, ENVS = 50_000, 50
WHOLE, PARTS = "iteration", ("collect", "policy step", "baseline fit")


def measure(report: Report, request: Request) -> None:
  """Adds milliseconds of a replan and steps per second of TRPO, with shares."""
  measure_planning(report, request, plan_sizes())
  measure_trpo(report, request, BATCH, ENVS)


def plan_sizes() -> dict[str, Any]:
  """Returns candidates, horizon and hidden layers of the paper's preset."""
  config = ours_mbmf.paper_config()
  return {
    "samples": config.planner.settings["samples"],
    "horizon": config.planner.horizon,
    "hidden": config.model.hidden,
  }


def plan_flops(samples: int, horizon: int, hidden: Sequence[int]) -> float:
  """Returns the operations of the net's matrix products in a replan."""
  widths = (OBS_DIM + ACTION_DIM, *hidden, OBS_DIM)
  return 2.0 * samples * horizon * sum(a * b for a, b in itertools.pairwise(widths))


def measure_planning(report: Report, request: Request, sizes: dict[str, Any]) -> None:
  """Adds milliseconds of a replan, shares of the peak, and ratios to numpy."""
  what, ours = "mbmf plan", {f"mbrl_jax {dtype}": dtype for dtype in request.dtypes}
  shares: dict[str, list[float]] = {name: [] for name in ours}
  with Ceiling(request.dtypes) as ceiling, Worker(PLANNING) as own, Worker(NUMPY) as peer:
    systems: dict[str, System] = {name: (own, {"dtype": ours[name]}) for name in ours}
    systems["numpy"] = peer, {}
    set_up(report, what, systems, "setup_plan", **sizes)
    for _, (name, (worker, dtype)) in itertools.product(range(request.rounds), systems.items()):
      taken = seconds(worker.call("plan", replans=REPLANS, **dtype), what, name)
      report.record(what, name, taken)
      if name in ours:
        shares[name].append(plan_flops(**sizes) / taken / ceiling.measure(ours[name]))
  for name in systems:
    report.add(what, name, "one replan", 1e3 * report.median(what, name), "ms")
  for name, found in shares.items():
    figure = f"share of the peak ({ceiling.source})"
    report.add(what, name, figure, statistics.median(found), "x")
  report.add_ratios(what, list(ours), "numpy")


def measure_trpo(report: Report, request: Request, batch: int, envs: int) -> None:
  """Adds environment steps per second, and seconds and shares of the parts."""
  what, name = "mbmf trpo", f"mbrl_jax x{envs}"
  with Worker(TRPO) as worker:
    built = worker.call("setup_trpo", batch=batch, envs=envs)
    report.add(what, name, "compile", built["compile_seconds"], "s")
    for _, part in itertools.product(range(request.rounds), (WHOLE, *PARTS)):
      answer = worker.call("turn", part=part)
      report.record(what, f"{name}, {part}", seconds(answer, what, name))
  taken = {part: report.median(what, f"{name}, {part}") for part in (WHOLE, *PARTS)}
  report.add(what, name, "environment steps, with learning", batch / taken[WHOLE], "1/s")
  for part, spent in taken.items():
    report.add(what, name, part, spent, "s")
  for part in PARTS:
    report.add(what, name, f"{part}, share", taken[part] / taken[WHOLE], "x")
