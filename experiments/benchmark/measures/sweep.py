"""Sweeps the planning step over sizes, precisions and devices, one process per row.

A row that runs out of memory or time records that as its status, and the sweep continues.
Files are written after every row, so an interrupted sweep keeps the rows it measured.
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

WORKER = "experiments.benchmark.peers.ours_sweep"
SECONDS = 1.0
"""Least time for which a row takes planning steps."""

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
_KILLED = "exit status -9"  # SIGKILL, which the kernel sends when memory runs out

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Sweep:
  """Definition of a sweep.

  Attributes:
    base: sizes that all rows share.
    cells: the rows, the centre first.
    row_seconds: time limit of a row.
    out: path of the result files, without suffix.
  """

  base: Sizes
  cells: Sequence[SweepCell]
  row_seconds: float
  out: str


def measure(
  sweep: Sweep, console: rich.console.Console, stop: Callable[[], object]
) -> tuple[list[Row], dict[str, Any]]:
  """Measures one row after another; writes ``out.json`` and ``out.csv`` after each.

  Args:
    sweep: what to measure.
    console: where to print progress.
    stop: polled while waiting; true ends the sweep.

  Returns:
    The rows measured, and jax's device: ``platform``, ``kind`` and ``count``.

  Raises:
    WorkerError: jax cannot find its devices.
  """
  rows: list[Row] = []
  device: dict[str, Any] = {}
  try:
    with Ceiling(sorted({cell.dtype for cell in sweep.cells}), stop) as ceiling:
      device, start = ceiling.device, time.perf_counter()
      for cell in sweep.cells:
        rows.append(_measure_row(sweep, cell, ceiling, stop))
        write(sweep, rows, device)
        console.print(_progress(rows, len(sweep.cells), start), markup=False)
  except Interrupted:
    console.print(f"interrupted after {len(rows)} of {len(sweep.cells)} rows", markup=False)
  return rows, device


def write(sweep: Sweep, rows: list[Row], device: dict[str, Any]) -> list[Path]:
  """Writes the rows and the settings they share; returns the paths."""
  content = {
    "machine": {**results.machine(), "device": device},
    "sizes": dataclasses.asdict(sweep.base),
    "centre": dataclasses.asdict(sweep.cells[0]),
    "rows": rows,
  }
  return results.write_files(sweep.out, rows, content)


def _measure_row(
  sweep: Sweep, cell: SweepCell, ceiling: Ceiling, stop: Callable[[], object]
) -> Row:
  """Measures one row in a process of its own."""
  row = {**dataclasses.asdict(cell), "status": "ok", **dict.fromkeys(FIGURES)}
  sizes, end = cell.sizes(sweep.base), time.perf_counter() + sweep.row_seconds
  left = lambda: max(end - time.perf_counter(), 0.0)
  try:
    with Worker(WORKER, devices=cell.devices, stop=stop) as worker:
      job = {"sizes": sizes, "dtype": cell.dtype, "devices": cell.devices}
      row.update(worker.call("setup", timeout=left(), **job))
      answer = worker.call("measure", timeout=left(), seconds=SECONDS)
  except Interrupted:
    raise
  except WorkerError as error:
    return {**row, "status": _status(error)}
  if not answer["finite"]:
    return {**row, "status": "failed: non-finite numbers"}
  return {**row, **_figures(sizes, answer, ceiling.measure(cell.dtype, cell.devices))}


def _figures(sizes: Sizes, answer: dict[str, Any], peak: float) -> Row:
  """Computes the columns of a measured row."""
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
  """Returns the status of a failed row."""
  text = str(error)
  if isinstance(error, WorkerTimeout):
    return "out of time"
  killed = isinstance(error, WorkerDied) and _KILLED in text
  if killed or any(mark in text for mark in _NO_MEMORY):
    return "out of memory"
  return f"failed: {text.splitlines()[0]}"


def _progress(rows: list[Row], total: int, start: float) -> str:
  """Describes the last row and estimates the time that the others take."""
  row, done = rows[-1], len(rows)
  what = " ".join(f"{name} {row[name]}" for name in AXES)
  parts = [f"row {done:>2}/{total}", what]
  if row["status"] == "ok":
    parts.append(f"{results.format_number(row['plans_per_second'])} plans/s")
    parts.append(f"{row['step_seconds']:.3g} s a step, {row['of_peak']:.2f} of the peak")
  else:
    parts.append(row["status"])
  left = (time.perf_counter() - start) / done * (total - done)
  return " | ".join([*parts, f"ETA {duration(left)}"])
