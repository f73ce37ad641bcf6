"""The time of a lap, and the plans per second."""

import numpy as np
import pytest

from mbrl_jax.runtime.training.timing import Timer


def steps(count, random=0):
  """Makes the arrays of one seed, whose first steps are random."""
  flags = (np.arange(count) < random).astype(np.float32)
  return {"reward": np.zeros(count), "info/random": flags}


def test_only_planned_steps_count():
  timer = Timer()
  timer.add(2.0, [steps(10, random=4), steps(10)], learned=False)
  timer.add(5.0, [steps(10, random=10)], learned=False)
  assert timer.lap()["plans_per_second"] == pytest.approx(16 / 2.0)


def test_chunks_with_an_update_count_only_without_others():
  timer = Timer()
  timer.add(8.0, [steps(4)], learned=True)
  assert timer.lap()["plans_per_second"] == pytest.approx(0.5)
  timer.add(8.0, [steps(4)], learned=True)
  timer.add(1.0, [steps(4)], learned=False)
  assert timer.lap()["plans_per_second"] == pytest.approx(4.0)


def test_a_lap_without_plans_has_only_its_seconds():
  timer = Timer()
  timer.add(1.0, [steps(3, random=3)], learned=False)
  first = timer.lap()
  assert set(first) == {"seconds"} and first["seconds"] >= 0
  assert set(timer.lap()) == {"seconds"}
