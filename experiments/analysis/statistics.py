"""Statistics of a few runs that one lucky or unlucky run does not decide.

The interquartile mean is that of the middle half of the values. Its interval comes from a
stratified bootstrap: within each stratum (a task) as many runs as there are, drawn with
replacement, make one imagined repetition of the experiment; the percentiles of the statistic
over many of them bound it. Whole curves are drawn, so points of one run stay together.

Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical
Precipice".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mbrl_jax.ops.validate import between, positive

DRAWS = 2000
"""Imagined repetitions of the experiment."""
LEVEL = 0.95
"""Share of them within the interval."""

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

  A quarter of the runs, rounded down, is left out at either end: with up to three runs it is
  the mean of all.

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
  """Bounds a statistic of all runs together.

  Args:
    strata: for each task the values of its runs ``[R, ...]``; runs are drawn within it.
    statistic: of the values of all strata, one below the other.
    draws: repetitions to imagine.
    level: share of them that lies within the interval.
    seed: of the draws, so that the same runs always have the same interval.

  Raises:
    ValueError: no strata, one without runs, or numbers out of range.
  """
  positive(strata=len(strata), draws=draws, runs=min(map(len, strata), default=0))
  between(0.0, 1.0, level=level)
  rng = np.random.default_rng(seed)
  again = lambda values: values[rng.integers(len(values), size=len(values))]
  found = [
    statistic(np.concatenate([again(values) for values in strata])) for _ in range(draws)
  ]
  low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], axis=0)
  return Interval(low, high)


def first_reached(steps: np.ndarray, values: np.ndarray, threshold: float) -> float | None:
  """Returns the first of ``steps [n]`` at which ``values [n]`` are not below a threshold."""
  reached = np.flatnonzero(np.asarray(values) >= threshold)
  return float(steps[reached[0]]) if len(reached) else None
