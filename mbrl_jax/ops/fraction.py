"""Exact fractions of a count, in integer arithmetic."""

from __future__ import annotations

from fractions import Fraction

import jax.numpy as jnp

from mbrl_jax.types import Array

_MAX_DENOMINATOR = 46_340  # the square of a larger one overflows int32


def floor_share(count: Array | int, share: float) -> Array:
  """Returns ``floor(count * share)`` in exact integer arithmetic, int32.

  ``share`` is taken as its decimal representation. Floating-point products fall short: 0.7 of
  10 is less than 7 in float32, 0.29 of 100 less than 29 even in double precision.

  Args:
    count: ``[...]`` int32, not negative.
    share: 0 to 1, a constant.

  Example:
    >>> floor_share(100, 0.29).item()
    29
  """
  part = Fraction(str(share)).limit_denominator(_MAX_DENOMINATOR)
  whole, rest = jnp.divmod(jnp.asarray(count, jnp.int32), part.denominator)
  return whole * part.numerator + rest * part.numerator // part.denominator
