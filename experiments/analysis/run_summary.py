"""What tables say of a run in one row."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from experiments.analysis import curves
from mbrl_jax.runtime.storage.csv_log import read_table
from mbrl_jax.runtime.storage.run_folder import RunFolder


class Facts(NamedTuple):
  """One run; NaN where nothing has been evaluated yet.

  Attributes:
    algo, task: what learned what.
    seeds: how many were trained at once.
    step: environment steps taken by each seed when its last episode ended.
    last: mean over seeds of the last evaluation.
    spread: deviation of it over seeds.
    best: mean over seeds of the best evaluation.
    seconds: that the run took, all interruptions left out.
  """

  algo: str
  task: str
  seeds: int
  step: int
  last: float
  spread: float
  best: float
  seconds: float


def of(folder: RunFolder) -> Facts:
  """Reads the facts of a run, finished or not.

  Raises:
    RunFolderError: a file of the run is damaged.
  """
  config, found = folder.config(), curves.read(folder)
  rows = read_table(folder.metrics) if folder.metrics.exists() else []
  ends = np.array([curve.values[-1] for curve in found])
  peaks = np.array([curve.values.max() for curve in found])
  known = len(found) > 0
  return Facts(
    algo=str(config.get("algo", "")),
    task=str(config.get("env", "")),
    seeds=int(config.get("seeds", 1)),
    step=int(rows[-1]["step"]) if rows else 0,
    last=float(ends.mean()) if known else np.nan,
    spread=float(ends.std()) if known else np.nan,
    best=float(peaks.mean()) if known else np.nan,
    seconds=_seconds(folder),
  )


def last_step(folder: RunFolder) -> int:
  """Returns the environment steps taken when the last episode ended, 0 before the first."""
  try:
    with open(folder.metrics, "rb") as file:
      size = file.seek(0, 2)
      file.seek(max(0, size - 65536))  # asked again and again: not the whole file
      lines = file.read().splitlines()
  except FileNotFoundError:
    return 0
  # The last line may be half written, the first is the head or cut in two.
  for line in reversed(lines[1:]):
    step = line.split(b",")[0]
    if step.isdigit() and b"," in line:
      return int(step)
  return 0


def _seconds(folder: RunFolder) -> float:
  """Adds up the time of the laps; all rows of a lap hold the same."""
  path = folder.path / "timing.csv"
  if not path.exists():
    return 0.0
  laps = itertools.groupby(row["seconds"] for row in read_table(path) if "seconds" in row)
  return float(sum(seconds for seconds, _ in laps))
