"""Summarises several runs in a table: best and last returns, trials to a threshold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rich.table

from experiments.command_line import outputs
from mbrl_jax.runtime.storage.csv_log import Row

COLUMNS = ("label", "runs", "trials", "best", "best_std", "last_five", "trials_to_threshold")
Trials = dict[str, list[list[float]]]
"""By label, the returns of the trials of each run or seed."""


def trials(rows: list[Row]) -> list[list[float]]:
  """Returns the returns of the trials of each seed, without random trials."""
  seeds = dict.fromkeys(row.get("seed") for row in rows)
  split = [
    [r["return"] for r in rows if r.get("seed") == seed and not r["random"]] for seed in seeds
  ]
  return [returns for returns in split if returns]


def summarise(groups: Trials, threshold: float | None = None) -> list[dict[str, str]]:
  """Returns a row of formatted values for each label.

  Args:
    groups: the returns of each label.
    threshold: a return; adds the first trial of each run that reached it, ``-``: none.
  """
  rows = []
  for label, runs in groups.items():
    best = np.array([max(returns) for returns in runs])
    last = np.concatenate([returns[-5:] for returns in runs])
    rows.append(
      {
        "label": label,
        "runs": str(len(runs)),
        "trials": str(max(map(len, runs))),
        "best": f"{best.mean():.1f}",
        "best_std": f"{best.std():.1f}",
        "last_five": f"{last.mean():.1f}",
        "trials_to_threshold": " ".join(_first(returns, threshold) for returns in runs),
      }
    )
  return rows


def write(path: Path, rows: list[dict[str, str]]) -> Path:
  """Writes the rows as a CSV file."""
  return outputs.write_csv(path, COLUMNS, rows)


def show(rows: list[dict[str, str]], threshold: float | None) -> rich.table.Table:
  """Returns the rows as a table for the terminal."""
  shown = COLUMNS if threshold is not None else COLUMNS[:-1]
  table = rich.table.Table()
  for name in shown:
    title = name.replace("_", " ").replace("threshold", f"{threshold:g}" if threshold else "")
    table.add_column(title, justify="left" if name == "label" else "right")
  for row in rows:
    table.add_row(*(row[name] for name in shown))
  return table


def _first(returns: list[float], threshold: float | None) -> str:
  if threshold is None or max(returns) < threshold:
    return "-"
  return str(int(np.argmax(np.asarray(returns) >= threshold)) + 1)
