"""Risk measures: from the returns of a plan's particles to one number.

Each has the signature ``(returns [P]) -> []`` that ``make_evaluate`` takes as
``risk``. Larger is better throughout.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from mbrl_jax.ops.validate import between, positive
from mbrl_jax.types import Array

Risk = Callable[[Array], Array]


def mean() -> Risk:
  """Returns the expectation, the risk-neutral choice of PETS."""
  return jnp.mean


def worst() -> Risk:
  """Returns the smallest return."""
  return jnp.min


def best() -> Risk:
  """Returns the largest return."""
  return jnp.max


def mean_minus_std(beta: float) -> Risk:
  """Returns ``mean - beta * std``; a negative ``beta`` seeks uncertainty."""
  return lambda returns: jnp.mean(returns) - beta * jnp.std(returns)


def cvar(fraction: float) -> Risk:
  """Returns the mean of the worst ``fraction`` of the particles (at least one).

  Source: Rockafellar and Uryasev 2000, "Optimization of conditional value-at-risk".
  """
  between(0.0, 1.0, fraction=fraction)
  positive(fraction=fraction)

  def risk(returns: Array) -> Array:
    tail = max(1, round(fraction * returns.shape[0]))
    return jnp.mean(jnp.sort(returns)[:tail])

  return risk


def entropic(temperature: float) -> Risk:
  """Returns ``-log E[exp(-temperature * return)] / temperature``."""
  positive(temperature=temperature)

  def risk(returns: Array) -> Array:
    scaled = jax.nn.logsumexp(-temperature * returns) - jnp.log(returns.shape[0])
    return -scaled / temperature

  return risk
