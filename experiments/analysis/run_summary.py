"""Summarises a run in one row of a table."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from experiments.analysis import curves
from mbrl_jax.runtime.storage.csv_log import read_table
from mbrl_jax.runtime.storage.run_folder import RunFolder


class RunSummary(NamedTuple):
  """Summary of a run; returns are NaN before the first evaluation.

  Attributes:
    algo, task: names of algorithm and task.
    seeds: number of seeds.
    step: environment steps of a seed at the end of the last episode.
    last: mean over seeds of the last evaluation.
    spread: standard deviation of the last evaluation over seeds.
    best: mean over seeds of the best evaluation.
    seconds: run time without interruptions.
    success: mean over seeds of the success rate in the last evaluation; None if the task
      defines no success.
  """

  algo: str
  task: str
  seeds: int
  step: int
  last: float
  spread: float
  best: float
  seconds: float
  success: float | None


def summarise(folder: RunFolder) -> RunSummary:
  """Summarises a run, finished or not.

  Raises:
    RunFolderError: a file of the run is damaged.
  """
  config, found = folder.config(), curves.read(folder)
  rows = read_table(folder.metrics) if folder.metrics.exists() else []
  ends = np.array([curve.values[-1] for curve in found])
  peaks = np.array([curve.values.max() for curve in found])
  solved = [curve.values[-1] for curve in curves.read(folder, "success")]
  known = len(found) > 0
  return RunSummary(
    algo=str(config.get("algo", "")),
    task=str(config.get("env", "")),
    seeds=int(config.get("seeds", 1)),
    step=int(rows[-1]["step"]) if rows else 0,
    last=float(ends.mean()) if known else np.nan,
    spread=float(ends.std()) if known else np.nan,
    best=float(peaks.mean()) if known else np.nan,
    seconds=_seconds(folder),
    success=float(np.mean(solved)) if solved else None,
  )


def last_step(folder: RunFolder) -> int:
  """Returns the environment steps at the end of the last episode, 0 before the first."""
  try:
    with open(folder.metrics, "rb") as file:
      size = file.seek(0, 2)
      file.seek(max(0, size - 65536))  # called repeatedly: reads the end of the file only
      lines = file.read().splitlines()
  except FileNotFoundError:
    return 0
  # The last line may be incomplete; the first is the header or truncated.
  for line in reversed(lines[1:]):
    step = line.split(b",")[0]
    if step.isdigit() and b"," in line:
      return int(step)
  return 0


def _seconds(folder: RunFolder) -> float:
  """Sums the seconds of ``timing.csv``; rows of one lap, one per seed, repeat its value."""
  path = folder.path / "timing.csv"
  if not path.exists():
    return 0.0
  laps = itertools.groupby(row["seconds"] for row in read_table(path) if "seconds" in row)
  return float(sum(seconds for seconds, _ in laps))
