"""Schedules against exact fractions, at every epoch."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms.parts.epoch_schedule import at_epoch, check_schedule, floor_at_epoch

EPOCHS = np.arange(200, dtype=np.int32)


def exact(schedule, epoch):
  first, last, start, end = (Fraction(str(number)) for number in schedule)
  share = min(max((epoch - first) / (last - first), Fraction(0)), Fraction(1))
  return start + share * (end - start)


def draw_schedules(count):
  rng = np.random.default_rng(0)
  kinds = (
    lambda: rng.integers(1, 40, 2).tolist(),
    lambda: rng.random(2).round(2).tolist(),
    lambda: (rng.integers(1, 9, 2) + np.array([0.5, 0.25])).tolist(),
  )
  for i in range(count):
    first = int(rng.integers(0, 60))
    yield (first, first + int(rng.integers(1, 120)), *kinds[i % 3]())


def test_floors_are_exact():
  schedules = [(3, 50, 1, 30), (20, 150, 1, 1), (0, 1, 0.05, 0.05), (0.5, 7.25, 9, 2)]
  for schedule in (*schedules, *draw_schedules(18)):
    for scale in (1, 256):
      found = floor_at_epoch(schedule, EPOCHS[:, None], scale)
      expected = [math.floor(scale * exact(schedule, int(epoch))) for epoch in EPOCHS]
      assert found.dtype == jnp.int32 and found.tolist() == expected, schedule


def test_values_are_exact_at_both_ends_and_monotonic():
  for schedule in draw_schedules(9):
    values = np.asarray(jax.jit(lambda e, s=schedule: at_epoch(s, e))(EPOCHS))
    expected = [float(exact(schedule, int(epoch))) for epoch in EPOCHS]
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6 * max(schedule[2:]))
    first, last, start, end = schedule
    assert values[first] == np.float32(start) and values[last] == np.float32(end)
    assert (np.diff(values) * np.sign(end - start) >= 0).all(), schedule


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_schedules_are_rejected(bad):
  with pytest.raises(ValueError, match=r"length=.* must have finite numbers"):
    check_schedule("length", (0, 10, 1, bad), 1, float("inf"))
  with pytest.raises(ValueError, match="must have finite numbers"):
    check_schedule("length", (bad, 10, 1, 1), 1, float("inf"))
