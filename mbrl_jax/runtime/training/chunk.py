"""Splits the metrics of a chunk, one call of the compiled step, or evaluation by seed."""

from __future__ import annotations

import numpy as np

from mbrl_jax.runtime.storage.csv_log import Row
from mbrl_jax.runtime.storage.episodes import Arrays, series
from mbrl_jax.types import Metrics


def steps_of_seeds(
  metrics: Metrics, seeds: list[int] | None
) -> tuple[list[Arrays], list[np.ndarray], list[np.ndarray]]:
  """Returns per-step arrays, ``done`` and episode returns of each seed.

  Steps that a seed did not take, because its run was over, are left out.
  """
  taken = np.atleast_2d(metrics["taken"])
  arrays = _split(series(metrics), seeds)
  steps = [{k: v[t] for k, v in a.items()} for a, t in zip(arrays, taken, strict=True)]
  flags = (np.atleast_2d(metrics[name]) for name in ("done", "episode_return"))
  done, returns = ([x[t] for x, t in zip(rows, taken, strict=True)] for rows in flags)
  return steps, done, returns


def updates_of_seeds(metrics: Metrics, seeds: list[int] | None) -> list[Row]:
  """Returns the update metrics of each seed as scalars, ``{}`` where no update ran."""
  return [_scalars(update) for update in _split(metrics["update"], seeds)]


def evaluations_of_seeds(metrics: Metrics) -> list[Row]:
  """Returns the mean and standard deviation of each seed's returns, and its success rate.

  Args:
    metrics: of evaluation episodes, see ``run.Evaluator``.
  """
  returns = np.atleast_2d(metrics["return"]).astype(np.float64)
  rows = [{"eval/return": float(r.mean()), "eval/return_std": float(r.std())} for r in returns]
  if "success" in metrics:
    for row, success in zip(rows, np.atleast_2d(metrics["success"]), strict=True):
      row["eval/success"] = float(np.mean(success))
  return rows


def _scalars(update: Arrays) -> Row:
  """Averages the metrics of one update to scalars; ``{}`` if it did not run."""
  if not float(np.min(update.get("ran", 1.0))):
    return {}
  return {k: float(np.mean(v, dtype=np.float64)) for k, v in update.items() if k != "ran"}


def _split(arrays: Arrays, seeds: list[int] | None) -> list[Arrays]:
  """Splits the leading seed axis, where there is one, into a list."""
  if seeds is None:
    return [arrays]
  return [{k: np.asarray(v)[i] for k, v in arrays.items()} for i in range(len(seeds))]
