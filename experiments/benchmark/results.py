"""Collects the benchmark's results, prints them as a table and writes them to files."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import datetime
import io
import json
import math
import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import rich.console
import rich.table

from experiments.benchmark.peers.sizes import Sizes
from mbrl_jax.runtime.storage import files

COLUMNS = ("what", "system", "figure", "value", "unit")
PACKAGES = ("jax", "jaxlib", "numpy", "mujoco", "mujoco-mjx")


@dataclasses.dataclass
class Report:
  """Rows of the table, and the raw value of every round.

  Attributes:
    rows: ``(what, system, figure, value, unit)``.
    rounds: raw values by ``what/system``, in order.
  """

  rows: list[tuple[str, str, str, float, str]] = dataclasses.field(default_factory=list)
  rounds: dict[str, list[float]] = dataclasses.field(default_factory=dict)

  def add(self, what: str, system: str, figure: str, value: float, unit: str) -> None:
    """Adds a row."""
    self.rows.append((what, system, figure, value, unit))

  def record(self, what: str, system: str, value: float) -> None:
    """Stores the raw value of one round."""
    self.rounds.setdefault(f"{what}/{system}", []).append(value)

  def median(self, what: str, system: str) -> float:
    """Returns the median of the raw values, NaN if there are none."""
    values = self.rounds.get(f"{what}/{system}")
    return statistics.median(values) if values else math.nan

  def add_ratios(self, what: str, systems: Sequence[str], peer: str | None) -> None:
    """Adds the speed-up of each system over the peer, from the medians of the times."""
    for system in systems if peer else ():
      ratio = self.median(what, peer) / self.median(what, system)
      self.add(what, system, f"times {peer}", ratio, "x")


def machine() -> dict[str, Any]:
  """Describes the CPU, Python and package versions, without the host name."""
  cpu = platform.processor() or platform.machine()
  with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as info:
    models = [line.split(":")[1].strip() for line in info if line.startswith("model name")]
    cpu = models[0] if models else cpu
  versions = {}
  for name in PACKAGES:
    with contextlib.suppress(PackageNotFoundError):
      versions[name] = version(name)
  return {
    "cpu": cpu,
    "cores": os.cpu_count(),
    "python": platform.python_version(),
    "date": datetime.date.today().isoformat(),
    **versions,
  }


def write(report: Report, sizes: Sizes, out: str) -> list[Path]:
  """Writes ``out.json`` (everything) and ``out.csv`` (the table); returns the paths."""
  content = {
    "machine": machine(),
    "sizes": dataclasses.asdict(sizes),
    "plan_gflop": sizes.plan_flops / 1e9,
    "rows": [dict(zip(COLUMNS, row, strict=True)) for row in report.rows],
    "rounds": report.rounds,
  }
  return write_files(
    out, [dict(zip(COLUMNS, row, strict=True)) for row in report.rows], content
  )


def write_files(out: str, rows: list[dict[str, Any]], content: dict[str, Any]) -> list[Path]:
  """Writes ``rows``, which share columns, to ``out.csv`` and ``content`` to ``out.json``."""
  csv_path, json_path = Path(f"{out}.csv"), Path(f"{out}.json")
  csv_path.parent.mkdir(parents=True, exist_ok=True)
  text = io.StringIO()
  table = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\r\n")
  table.writeheader()
  table.writerows(rows)
  files.write_text(csv_path, text.getvalue())
  files.write_text(json_path, json.dumps(content, indent=2) + "\n")
  return [csv_path, json_path]


def print_table(report: Report, console: rich.console.Console) -> None:
  """Prints the table."""
  table = rich.table.Table(title="mbrl_jax benchmark")
  for column in COLUMNS[:3]:
    table.add_column(column)
  table.add_column("value", justify="right")
  for what, system, figure, value, unit in report.rows:
    table.add_row(what, system, figure, f"{format_number(value)} {unit}")
  console.print(table)


def format_number(value: float) -> str:
  """Formats a number to four significant digits; from 10,000 as an integer."""
  return f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}"
