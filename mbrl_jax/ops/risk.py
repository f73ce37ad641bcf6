"""Risk measures: map the returns of a plan's particles to one number.

Each has the signature ``(returns [P]) -> []`` of the argument ``risk`` of ``make_evaluate``.
Larger is better throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.gaussian import positive_sqrt
from mbrl_jax.ops.validate import between, positive
from mbrl_jax.types import Array

Risk = Callable[[Array], Array]


def mean() -> Risk:
  """Returns the risk-neutral measure, the mean, as in PETS."""
  return jnp.mean


def worst() -> Risk:
  """Returns the worst case, the smallest return."""
  return jnp.min


def best() -> Risk:
  """Returns the best case, the largest return."""
  return jnp.max


def mean_minus_std(beta: float) -> Risk:
  """Returns ``mean - beta * std``; a negative ``beta`` seeks uncertainty.

  If the returns are equal, or one is not finite, value and gradient are the mean's.

  Example:
    >>> mean_minus_std(0.5)(jnp.array([1.0, 3.0])).item()
    1.5
  """
  return lambda returns: jnp.mean(returns) - beta * _deviation(returns)


def cvar(fraction: float) -> Risk:
  """Returns the mean of the worst ``fraction`` of the particles.

  With sorted returns ``r_0 <= r_1 <= ...`` and ``m = fraction P`` it is
  ``sum_i min(max(m - i, 0), 1) r_i / m``: the last particle of the tail has a fractional
  weight. A tail of less than one particle is the worst one.

  Source: Rockafellar and Uryasev 2000, "Optimization of conditional value-at-risk".

  Raises:
    ValueError: a fraction outside ``(0, 1]``.

  Example:
    >>> cvar(0.5)(jnp.array([4.0, 1.0, 3.0, 2.0])).item()
    1.5
  """
  between(0.0, 1.0, fraction=fraction)
  positive(fraction=fraction)

  def risk(returns: Array) -> Array:
    mass = max(Fraction(str(fraction)) * returns.shape[0], Fraction(1))
    tail = math.ceil(mass)
    weights = np.ones(tail, np.float32)
    weights[-1] = mass - (tail - 1)
    return jnp.sum(weights * jnp.sort(returns)[:tail]) / np.float32(mass)

  return risk


def entropic(temperature: float) -> Risk:
  """Returns ``-log E[exp(-temperature * return)] / temperature``.

  Raises:
    ValueError: a temperature that is not positive.

  Example:
    >>> entropic(1.0)(jnp.array([2.0, 2.0])).item()
    2.0
  """
  positive(temperature=temperature)

  def risk(returns: Array) -> Array:
    least = jnp.min(returns)
    # If the worst return is not finite, it is the result.
    usable = jnp.isfinite(least)
    base = jax.lax.stop_gradient(jnp.where(usable, least, 0.0))
    gap = jnp.where(usable, returns, 0.0) - base
    # Compilers may round a value twice: a large return can then lie below the minimum.
    loss = -temperature * jnp.where(gap < 0, 0.0, gap)
    # Near 1 the mean is computed minus 1, which keeps the digits of small differences.
    below = jnp.mean(jnp.expm1(loss))
    logarithm = jnp.where(below > -0.5, jnp.log1p(below), jnp.log(jnp.mean(jnp.exp(loss))))
    return jnp.where(usable, base - logarithm / temperature, least)

  return risk


def _deviation(returns: Array) -> Array:
  """Returns the standard deviation, without overflow and with gradient 0 at 0."""
  error = returns - jnp.mean(returns)
  error = jnp.where(jnp.isfinite(error), error, 0.0)
  # Powers of two scale without rounding, so the usual range gives the same bits unscaled.
  largest = jnp.max(jnp.abs(error))
  factor = jnp.where(largest > 1e15, 2.0**-80, jnp.where(largest < 1e-15, 2.0**80, 1.0))
  return positive_sqrt(jnp.mean(jnp.square(error * factor))) / factor
