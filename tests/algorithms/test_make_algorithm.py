"""Requirements of all algorithms on a task."""

import numpy as np
import pytest

from mbrl_jax.algorithms import list_algorithms, make_algorithm
from mbrl_jax.envs import make_env


@pytest.mark.parametrize("name", list_algorithms())
@pytest.mark.parametrize(
  ("low", "high"),
  [
    (-np.inf, 1.0),
    (-np.inf, np.inf),
    (np.nan, 1.0),
    (0.5, 0.5),  # an empty range
    (1.0, -1.0),
    (-3e38, 3e38),  # the range overflows
    (0.0, 1e-40),  # the range underflows
  ],
)
def test_action_bounds_must_be_finite_and_distinct(name, low, high):
  bounds = {"action_low": np.float32([low]), "action_high": np.float32([high])}
  spec = make_env("pendulum").spec._replace(**bounds)
  with pytest.raises(ValueError, match=r"actions of 'pendulum' must have finite bounds.*_low="):
    make_algorithm(name, spec)
