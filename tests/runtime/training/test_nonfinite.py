"""Detection of non-finite transitions."""

import numpy as np
import pytest

from mbrl_jax.runtime.training import nonfinite


@pytest.mark.parametrize(
  ("name", "terminated", "found"),
  [
    ("next_obs", True, None),
    ("next_obs", False, "transition next_obs"),
    ("reward", True, "transition reward"),
    ("obs", True, "transition obs"),
  ],
)
def test_transitions_must_be_finite_except_the_observation_after_a_termination(
  name, terminated, found
):
  rows = {"obs": np.zeros((3, 2)), "next_obs": np.zeros((3, 2)), "reward": np.zeros(3)}
  rows[name][1] = np.nan
  rows["terminated"] = np.array([False, terminated, False])
  assert nonfinite.first_nonfinite(rows, {}) == found
