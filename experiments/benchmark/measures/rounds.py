"""Times the jobs of several workers in interleaved rounds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from experiments.benchmark.peers.worker import Worker
from experiments.benchmark.request import Request, seconds
from experiments.benchmark.results import Report

Answer = dict[str, Any]
System = tuple[Worker, dict[str, Any]]
"""A worker and the arguments that only its setup takes."""


def set_up(
  report: Report,
  what: str,
  systems: Mapping[str, System],
  job: str,
  timeout: float | None = None,
  **arguments: Any,
) -> None:
  """Runs the setup job of every system; adds compile seconds where it reports any."""
  for name, (worker, options) in systems.items():
    built = worker.call(job, timeout=timeout, **arguments, **options)
    if built["compile_seconds"]:
      report.add(what, name, "compile", built["compile_seconds"], "s")


def time_rounds(
  report: Report,
  request: Request,
  what: str,
  systems: Mapping[str, System],
  job: str,
  timeout: float | None = None,
) -> dict[str, list[Answer]]:
  """Runs ``job`` on every system in each round and records its seconds.

  Returns:
    The answers of each system, one per round.

  Raises:
    WorkerError: an answer is not finite.
  """
  answers: dict[str, list[Answer]] = {name: [] for name in systems}
  for _ in range(request.rounds):
    for name, (worker, _) in systems.items():
      answer = worker.call(job, timeout=timeout)
      report.record(what, name, seconds(answer, what, name))
      answers[name].append(answer)
  return answers


def measure_rates(
  report: Report,
  request: Request,
  worker: Worker,
  what: str,
  case: str,
  systems: Iterable[str],
  timeout: float,
) -> dict[str, list[float]]:
  """Measures the step rates of one worker's systems in interleaved rounds; adds the medians.

  Args:
    report: to which one row per system is added, named ``case``.
    request: for its number of rounds.
    worker: with a job ``turn(system)`` that returns ``rate``.
    what: an entry of ``--what``.
    case: task, engine and batch size.
    systems: names that ``turn`` accepts.
    timeout: seconds that a job may take.

  Returns:
    Steps per second of each system, one value per round.
  """
  rates: dict[str, list[float]] = {name: [] for name in systems}
  for _ in range(request.rounds):
    for name, values in rates.items():
      values.append(worker.call("turn", timeout=timeout, system=name)["rate"])
      report.record(what, f"{case}, {name}", values[-1])
  for name, values in rates.items():
    report.add(what, case, name, statistics.median(values), "1/s")
  return rates


def median_ratio(numerator: Iterable[float], denominator: Iterable[float]) -> float:
  """Returns the median over rounds of the ratio of two rates."""
  return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))
