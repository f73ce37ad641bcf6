"""Writes the table and the learning curves of a sweep."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import rich.table

from experiments.analysis import curves, run_summary
from experiments.command_line import outputs
from experiments.sweep.schedule import FAILED, Run
from mbrl_jax.runtime.storage.run_folder import RunFolderError
from mbrl_jax.runtime.training.progress import duration

COLUMNS = ("status", "step", "last", "spread", "best", "seconds")

Row = dict[str, str | float]


def rows(runs: Sequence[Run], values: Mapping[str, Mapping[str, str]]) -> list[Row]:
  """Returns a row for each run; sets the status of a run with damaged files to failed.

  Args:
    runs: the runs of the sweep.
    values: the swept values of each run, by its name.
  """
  found = []
  for run in runs:
    row: Row = {**values[run.name], "status": run.status}
    try:
      if run.folder.metrics.exists():
        known = run_summary.summarise(run.folder)._asdict()
        row |= {name: known[name] for name in COLUMNS[1:]}
    except RunFolderError as error:
      run.status, run.reason = FAILED, str(error)
      row["status"] = FAILED
    found.append(row)
  return found


def show(found: Sequence[Row], values: Sequence[str]) -> rich.table.Table:
  """Returns a table for the terminal, sorted by the last evaluation, best first."""
  table = rich.table.Table()
  for name in (*values, *COLUMNS):
    table.add_column(name, justify="left" if name in (*values, "status") else "right")
  order = sorted(found, key=lambda row: -_number(row.get("last")))
  for row in order:
    table.add_row(*(_text(name, row.get(name)) for name in (*values, *COLUMNS)))
  return table


def write(path: Path, found: Sequence[Row], values: Sequence[str]) -> Path:
  """Writes the rows as a CSV file."""
  return outputs.write_csv(path, (*values, *COLUMNS), found)


def draw(path: Path, runs: Sequence[Run]) -> Path | None:
  """Draws the learning curves; returns ``None`` if no run has any."""
  groups: curves.Groups = {}
  for run in runs:
    with contextlib.suppress(RunFolderError):  # ``rows`` reports it
      if run.folder.metrics.exists() and (found := curves.read(run.folder)):
        groups[run.name] = found
  return curves.draw(path, groups) if groups else None


def failures(runs: Sequence[Run]) -> list[str]:
  """Returns a line for each run that failed."""
  return [f"{run.name}: {run.reason} (log: {run.log})" for run in runs if run.status == FAILED]


def _number(value: str | float | None) -> float:
  return -np.inf if value is None or np.isnan(float(value)) else float(value)


def _text(name: str, value: str | float | None) -> str:
  if value is None or isinstance(value, str):
    return value or "-"
  if np.isnan(value):
    return "-"
  if name == "seconds":
    return duration(value)
  return f"{value:.0f}" if name == "step" else f"{value:.2f}"
