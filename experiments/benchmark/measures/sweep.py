"""Sweeps the planning step over sizes, precisions and devices, one process a row.

A row that runs out of memory or time says so and the sweep goes on. Files are written
after every row; an interrupted sweep leaves what it measured.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rich.console

from experiments.benchmark import results
from experiments.benchmark.grid import AXES, SweepCell
from experiments.benchmark.measures.ceiling import Ceiling
from experiments.benchmark.peers.sizes import Sizes
from experiments.benchmark.peers.worker import (
  Interrupted,
  Worker,
  WorkerDied,
  WorkerError,
  WorkerTimeout,
)
from mbrl_jax.runtime.training.progress import duration

OURS = "experiments.benchmark.peers.ours_sweep"
SECONDS = 1.0
"""How long a row takes planning steps, at least."""

FIGURES = (
  "compile_seconds",
  "step_seconds",
  "steps_per_second",
  "plans_per_second",
  "evaluations_per_second",
  "gflops",
  "of_peak",
  "memory_mib",
)
_NO_MEMORY = ("MemoryError", "RESOURCE_EXHAUSTED", "out of memory", "bad_alloc")
_KILLED = "exit status -9"  # by the system, where a process takes too much

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Sweep:
  """What to sweep.

  Attributes:
    base: what all rows have in common.
    cells: the rows, the centre first.
    row_seconds: after which a row is given up.
    out: result files, without suffix.
  """

  base: Sizes
  cells: Sequence[SweepCell]
  row_seconds: float
  out: str


def measure(
  sweep: Sweep, console: rich.console.Console, stop: Callable[[], object]
) -> tuple[list[Row], dict[str, Any]]:
  """Measures row after row; writes ``out.json`` and ``out.csv`` after each.

  Args:
    sweep: what to measure.
    console: told of the progress.
    stop: asked all the time; true ends the sweep.

  Returns:
    The rows that there are, and what jax computes on.

  Raises:
    WorkerError: jax does not even find its devices.
  """
  rows: list[Row] = []
  device: dict[str, Any] = {}
  try:
    with Ceiling(sorted({cell.dtype for cell in sweep.cells}), stop) as ceiling:
      device, begun = ceiling.device, time.perf_counter()
      for cell in sweep.cells:
        rows.append(_row(sweep, cell, ceiling, stop))
        write(sweep, rows, device)
        console.print(_line(rows, len(sweep.cells), begun), markup=False)
  except Interrupted:
    console.print(f"interrupted after {len(rows)} of {len(sweep.cells)} rows", markup=False)
  return rows, device


def write(sweep: Sweep, rows: list[Row], device: dict[str, Any]) -> list[Path]:
  """Writes the rows and what they have in common; returns the paths."""
  content = {
    "machine": {**results.machine(), "device": device},
    "sizes": dataclasses.asdict(sweep.base),
    "centre": dataclasses.asdict(sweep.cells[0]),
    "rows": rows,
  }
  return results.write_both(sweep.out, rows, content)


def _row(sweep: Sweep, cell: SweepCell, ceiling: Ceiling, stop: Callable[[], object]) -> Row:
  """Measures one row in a process of its own."""
  row = {**dataclasses.asdict(cell), "status": "ok", **dict.fromkeys(FIGURES)}
  sizes, end = cell.sizes(sweep.base), time.perf_counter() + sweep.row_seconds
  left = lambda: max(end - time.perf_counter(), 0.0)
  try:
    with Worker(OURS, devices=cell.devices, stop=stop) as worker:
      job = {"sizes": sizes, "dtype": cell.dtype, "devices": cell.devices}
      row.update(worker.ask("setup", timeout=left(), **job))
      answer = worker.ask("measure", timeout=left(), seconds=SECONDS)
  except Interrupted:
    raise
  except WorkerError as error:
    return {**row, "status": _status(error)}
  if not answer["finite"]:
    return {**row, "status": "failed: a number that is not finite"}
  return {**row, **_figures(sizes, answer, ceiling.measure(cell.dtype, cell.devices))}


def _figures(sizes: Sizes, answer: dict[str, Any], peak: float) -> Row:
  """Returns what a measured row says."""
  rate = 1.0 / answer["seconds"]
  return {
    "step_seconds": answer["seconds"],
    "steps_per_second": rate,
    "plans_per_second": rate * sizes.plans * sizes.iterations,
    "evaluations_per_second": rate * sizes.evaluations,
    "gflops": rate * sizes.plan_flops / 1e9,
    "of_peak": rate * sizes.plan_flops / peak,
    "memory_mib": answer["memory_mib"],
  }


def _status(error: WorkerError) -> str:
  """Says in a few words why a row has no figures."""
  text = str(error)
  if isinstance(error, WorkerTimeout):
    return "out of time"
  killed = isinstance(error, WorkerDied) and _KILLED in text
  if killed or any(mark in text for mark in _NO_MEMORY):
    return "out of memory"
  return f"failed: {text.splitlines()[0]}"


def _line(rows: list[Row], total: int, begun: float) -> str:
  """Tells of the last row, and how long the others may take."""
  row, done = rows[-1], len(rows)
  what = " ".join(f"{name} {row[name]}" for name in AXES)
  parts = [f"row {done:>2}/{total}", what]
  if row["status"] == "ok":
    parts.append(f"{results.number(row['plans_per_second'])} plans/s")
    parts.append(f"{row['step_seconds']:.3g} s a step, {row['of_peak']:.2f} of the peak")
  else:
    parts.append(row["status"])
  left = (time.perf_counter() - begun) / done * (total - done)
  return " | ".join([*parts, f"ETA {duration(left)}"])
