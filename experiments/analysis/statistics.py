"""Robust statistics of a few runs: interquartile mean and stratified bootstrap interval.

The interquartile mean is the mean of the middle half of the values. A stratified bootstrap
gives its interval: each resample draws, within each stratum (a task), as many runs as there
are, with replacement; the percentiles of the statistic over the resamples bound it. Whole
curves are drawn, so that the points of a run stay together.

Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical
Precipice".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mbrl_jax.ops.validate import between, positive

DRAWS = 2000
"""Number of bootstrap resamples."""
LEVEL = 0.95
"""Confidence level of the interval."""

Statistic = Callable[[np.ndarray], np.ndarray]
"""``(values [R, ...]) -> [...]``."""


class Interval(NamedTuple):
  """Bounds of a statistic.

  Attributes:
    low: ``[...]``.
    high: ``[...]``.
  """

  low: np.ndarray
  high: np.ndarray


def interquartile_mean(values: np.ndarray) -> np.ndarray:
  """Returns the mean of the middle half of ``values [R, ...]``, ``[...]``.

  Drops a quarter of the runs, rounded down, at either end; for up to three runs it is the mean
  of all.

  Raises:
    ValueError: there are no runs.
  """
  positive(runs=len(values))
  cut = len(values) // 4
  return np.sort(values, axis=0)[cut : len(values) - cut].mean(axis=0)


def bootstrap(
  strata: Sequence[np.ndarray],
  statistic: Statistic = interquartile_mean,
  *,
  draws: int = DRAWS,
  level: float = LEVEL,
  seed: int = 0,
) -> Interval:
  """Returns the stratified bootstrap interval of a statistic over all runs.

  Args:
    strata: the values ``[R, ...]`` of the runs of each task; runs are drawn within a task.
    statistic: of the concatenated values of all strata.
    draws: number of resamples.
    level: confidence level.
    seed: of the draws; equal runs have equal intervals.

  Raises:
    ValueError: no strata, one without runs, or numbers out of range.
  """
  positive(strata=len(strata), draws=draws, runs=min(map(len, strata), default=0))
  between(0.0, 1.0, level=level)
  rng = np.random.default_rng(seed)
  resample = lambda values: values[rng.integers(len(values), size=len(values))]
  found = [
    statistic(np.concatenate([resample(values) for values in strata])) for _ in range(draws)
  ]
  low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], axis=0)
  return Interval(low, high)


def first_reached(steps: np.ndarray, values: np.ndarray, threshold: float) -> float | None:
  """Returns the first of ``steps [n]`` whose value is at least the threshold, or ``None``."""
  reached = np.flatnonzero(np.asarray(values) >= threshold)
  return float(steps[reached[0]]) if len(reached) else None
