"""What all algorithms ask of a task."""

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
    (0.5, 0.5),  # nothing to choose from
    (1.0, -1.0),
    (-3e38, 3e38),  # the span is infinite
    (0.0, 1e-40),  # and here it is rounded to zero
  ],
)
def test_actions_need_bounds_to_choose_between(name, low, high):
  bounds = {"action_low": np.float32([low]), "action_high": np.float32([high])}
  spec = make_env("pendulum").spec._replace(**bounds)
  with pytest.raises(ValueError, match=r"actions of 'pendulum' must have finite bounds.*_low="):
    make_algorithm(name, spec)
