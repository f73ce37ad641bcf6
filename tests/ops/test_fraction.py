"""Exact fractions of counts against rational arithmetic."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.ops.fraction import floor_share


@pytest.mark.parametrize("share", [0, 0.01, 0.2, 0.29, 0.7, 0.9, 1.0, 0.123456, 1 / 3])
def test_floor_share_equals_rational_arithmetic(share):
  counts = np.array([0, 1, 2, 3, 9, 10, 100, 200, 4999, 100_000, 2**31 - 1], np.int32)
  part = Fraction(str(share)).limit_denominator(46_340)
  expected = [int(count) * part.numerator // part.denominator for count in counts]
  found = jax.jit(lambda counts: floor_share(counts, share))(counts)
  assert found.dtype == jnp.int32 and found.tolist() == expected


def test_seven_tenths_of_ten_are_seven():
  assert floor_share(10, 0.7) == 7 and floor_share(100, 0.29) == 29
  assert floor_share(300, 1 / 3) == 100
