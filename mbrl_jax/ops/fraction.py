"""Shares of a count, rounded down without the error of a float32 product."""

from __future__ import annotations

from fractions import Fraction

import jax.numpy as jnp

from mbrl_jax.types import Array

_LARGEST = 46_340  # the square of a larger denominator is beyond int32


def floor_share(count: Array, share: float) -> Array:
  """Returns ``floor(count * share)`` in integers, int32.

  ``share`` counts as it is written. Products fall short: 0.7 of 10 is less than 7 in float32,
  0.29 of 100 less than 29 even in double precision.

  Args:
    count: ``[...]`` int32, not negative.
    share: 0 to 1, a constant.
  """
  part = Fraction(str(share)).limit_denominator(_LARGEST)
  whole, rest = jnp.divmod(jnp.asarray(count, jnp.int32), part.denominator)
  return whole * part.numerator + rest * part.numerator // part.denominator
