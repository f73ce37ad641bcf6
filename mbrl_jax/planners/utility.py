"""Utilities: what the returns of sampled plans say about where to move a distribution.

A loss ``-log E[U(R)]`` is estimated from returns ``R_i`` by weights ``w_i = U(R_i) / sum U``:

* ``exponential``: ``U = exp(R / temperature)``, the weights of MPPI;
* ``threshold``: ``U = 1`` for the elites and 0 for the others, the cross-entropy method's;
* a function of the user's, ``returns [N] -> U [N]``.

The loss ``-E[R]``, utility ``expected``, has coefficients ``(R_i - mean R) / N`` instead, which
sum to zero. A plan without a finite return has no weight under any of them. Returns may be of
any size: neither their quotients, differences nor sums overflow.

Source: Wagener, Cheng, Sacks and Boots 2019, "An Online Learning Approach to Model Predictive
Control".
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.validate import ArgumentError, between, choice, positive
from mbrl_jax.types import Array

Utility = Callable[[Array], Array]
"""``(returns [N]) -> utilities [N]``, not negative; what it says of -inf is not used."""

UTILITIES = ("exponential", "threshold", "expected")
_HALVINGS = 40
_TINY, _HUGE = np.finfo(np.float32).tiny, np.finfo(np.float32).max
_LARGE = 1e4
"""Quotients of return and temperature above this lose more than a thousandth to rounding."""
_WIDTH = np.log(np.float32(1e6))
"""How far from the spread of the returns a temperature is sought, as a logarithm."""


def check_utility(
  utility: str | Utility, *, samples: int, elites: int, temperature: float, ess_fraction: float
) -> None:
  """Raises ``ValueError`` unless ``weigh`` can work with these settings."""
  if not callable(utility):
    choice("utility", utility, UTILITIES)
  positive(samples=samples, elites=elites, temperature=temperature)
  between(0.0, 1.0, ess_fraction=ess_fraction)
  if utility == "threshold" and elites > samples:
    raise ArgumentError("elites", elites, "exceed {}.", ("samples", samples))


def weigh(
  utility: str | Utility,
  plans: Array,
  returns: Array,
  *,
  elites: int,
  temperature: Array,
  ess_fraction: Array,
) -> tuple[Array, Array, Array]:
  """Weighs plans by any utility but ``expected``.

  Args:
    utility: see the module.
    plans: ``[N, ...]``.
    returns: ``[N]``; -inf where a plan does not count.
    elites: ``K``, plans that the threshold keeps.
    temperature: of the exponential utility, in units of return, ``[]``.
    ess_fraction: wanted effective sample size as a share of the samples, ``[]``; above 0 it
      sets the temperature.

  Returns:
    The plans that count, ``[N, ...]`` or ``[K, ...]``, their weights, which sum to one, and
    the temperature ``[]`` that was used.
  """
  if utility == "threshold":
    values, indices = jax.lax.top_k(returns, elites)
    elite = (values > -jnp.inf).astype(plans.dtype)
    return plans[indices], elite / jnp.maximum(elite.sum(), 1.0), temperature
  if utility == "exponential":
    temperature = choose_temperature(returns, temperature, ess_fraction)
    return plans, boltzmann(returns, temperature), temperature
  counts = (returns > -jnp.inf).astype(plans.dtype)
  utilities = jnp.where(counts > 0, utility(returns), 0.0).astype(plans.dtype)
  utilities = jnp.nan_to_num(utilities, posinf=_HUGE)
  utilities = utilities / magnitude(utilities)
  # Where nothing is of any use, all plans are alike.
  weights = jnp.where(utilities.sum() > 0, utilities, counts)
  return plans, weights / weights.sum(), temperature


def average(weights: Array, plans: Array) -> Array:
  """Returns ``sum_k w_k x_k`` of weights ``[K]`` and ``plans [K, ...]``."""
  # Accelerators would otherwise round actions to the few bits of their fast products.
  return jnp.einsum("k,k...->...", weights, plans, precision=jax.lax.Precision.HIGHEST)


def magnitude(values: Array) -> Array:
  """Returns a power of two ``[]`` that brings ``values`` to about one; infinities do not count.

  It is 1 where the largest lies between 1e-6 and 1e12, whose squares can be added up as they
  are. Dividing by it rounds nothing, unless values are so small that they do not count.
  """
  largest = jnp.max(jnp.abs(values), where=jnp.isfinite(values), initial=0.0)
  _, exponent = jnp.frexp(largest)
  power = jnp.ldexp(jnp.ones_like(largest), jnp.clip(exponent, -125, 126))
  ordinary = (largest == 0) | ((largest > 1e-6) & (largest < 1e12))
  return jnp.where(ordinary, 1.0, power)


def centre(returns: Array) -> tuple[Array, Array]:
  """Returns the coefficients of the utility ``expected`` in a unit, and that unit.

  The coefficients ``[N]`` are ``(R_i - mean R) / N`` divided by the unit ``[]``, a power of two
  that is 1 for returns of ordinary size.
  """
  finite = returns > -jnp.inf
  unit = magnitude(returns)
  count = jnp.maximum(finite.sum(), 1)
  # Equal returns must have a mean of no rounding, which the unit would make steps of.
  origin = jnp.where(unit == 1, 0.0, jnp.max(returns / unit))
  moved = returns / unit - origin
  mean = jnp.sum(moved, where=finite) / count
  return jnp.where(finite, moved - mean, 0.0) / count, unit


def product(step_size: Array, unit: Array) -> Array:
  """Returns ``step_size * unit``, at most the largest number: a step that long is clipped."""
  return jnp.minimum(step_size * unit, _HUGE)


def effective_size(weights: Array) -> Array:
  """Returns ``1 / sum w^2`` of weights ``[N]`` that sum to one: 1 to ``N``."""
  return 1.0 / jnp.sum(jnp.square(weights))


def softmax(logits: Array) -> Array:
  """Returns ``exp(logits) / sum exp(logits)``, also where compilers round a value twice.

  A maximum that is computed again may be a rounding below its own value; the exponent of
  large logits would then be far above zero.
  """
  weights = jnp.exp(jnp.minimum(logits - jnp.max(logits), 0.0))
  return weights / jnp.sum(weights)


def near_zero(returns: Array, temperature: Array) -> tuple[Array, Array]:
  """Returns ``returns [N]`` ready to be divided by a temperature, and what they were scaled by.

  They are what they were, and the factor ``[]`` is 1, unless they are large beside the
  temperature, whose quotients would lose the differences to rounding or overflow: from these
  the best one is subtracted. Where even that overflows, the factor is a power of two.
  """
  largest = jnp.max(jnp.abs(returns), where=jnp.isfinite(returns), initial=0.0)
  factor = jnp.where(largest > 1e30, 2.0**-10, 1.0)
  large = largest > _LARGE * temperature
  return factor * returns - jnp.where(large, factor * jnp.max(returns), 0.0), factor


def boltzmann(returns: Array, temperature: Array, charge: Array | float = 0.0) -> Array:
  """Returns the weights ``softmax(returns / temperature - charge)``, ``[N]``."""
  moved, factor = near_zero(returns, temperature)
  return softmax(moved / jnp.maximum(factor * temperature, _TINY) - charge)


def choose_temperature(
  returns: Array, temperature: Array, ess_fraction: Array, charge: Array | float = 0.0
) -> Array:
  """Returns the temperature that ``ess_fraction`` sets, or the given one where it is 0."""
  # A condition and no selection: searching costs as much as a small rollout.
  find = lambda: temperature_for(returns, ess_fraction, charge)
  return jax.lax.cond(ess_fraction > 0, find, lambda: temperature)


def temperature_for(returns: Array, share: Array, charge: Array | float = 0.0) -> Array:
  """Finds the temperature at which ``softmax(returns / T - charge)`` has an effective size.

  Without a charge the effective size grows with the temperature, so halving an interval on a
  logarithmic scale, from a millionth to a million times the spread of the returns, finds it.
  Where returns far below the others make up the spread, it is that of as many of the best as
  are wanted.

  With a charge, the hottest weights are not even: they follow the charge. Where they are more
  uneven than wanted, the interval ends at the temperature of a grid whose weights are the
  most even; that one is returned where not even its effective size is as large as wanted.

  Args:
    returns: ``[N]``; -inf where a plan does not count.
    share: wanted ``1 / sum w^2`` as a share of the plans that count, ``[]``.
    charge: ``[N]`` or none.
  """
  finite = jnp.isfinite(returns)
  wanted = jnp.maximum(share * jnp.sum(finite), 1.0)
  largest = jnp.max(jnp.abs(returns), where=finite, initial=0.0)
  # Powers of two that keep differences and temperatures within float32.
  unit = jnp.where(largest > 1e30, 2.0**10, jnp.where(largest < 1e-25, 2.0**-40, 1.0))
  gap = returns / unit - jnp.max(returns / unit, where=finite, initial=-jnp.inf)

  def size(spread: Array, logarithm: Array) -> Array:
    temperature = jnp.maximum(spread * jnp.exp(logarithm), _TINY)
    return effective_size(softmax(gap / temperature - charge))

  spread = _spread(gap, finite, wanted, lambda spread: size(spread, -_WIDTH) >= wanted)

  def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
    low, high = ends
    middle = (low + high) / 2
    enough = size(spread, middle) >= wanted
    return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

  def evenest() -> Array:
    grid = jnp.linspace(-_WIDTH, _WIDTH, 128, dtype=jnp.float32)
    return grid[jnp.argmax(jax.vmap(lambda x: size(spread, x))(grid))]

  # A thousandth is rounding: even weights are no more than all.
  uneven = size(spread, _WIDTH) < 0.999 * wanted
  high = jax.lax.cond(uneven, evenest, lambda: jnp.asarray(_WIDTH))
  low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (-_WIDTH, high))
  return jnp.clip(unit * (spread * jnp.exp((low + high) / 2)), _TINY, _HUGE)


def _spread(
  gap: Array, finite: Array, wanted: Array, too_wide: Callable[[Array], Array]
) -> Array:
  """Returns the spread of the returns ``[]``, or of the best where it says nothing of them.

  Args:
    gap: distance to the best return, ``[N]``, not positive.
    finite: which plans count, ``[N]``.
    wanted: effective size, ``[]``.
    too_wide: ``(spread) -> []``, whether even the lowest temperature weighs more than wanted.
  """
  whole = -jnp.min(gap, where=finite, initial=0.0)
  whole = jnp.where(whole > 0, whole, 1e-6)

  def of_best() -> Array:
    best = jnp.sort(-gap)[jnp.ceil(wanted).astype(jnp.int32) - 1]
    return jnp.where(best > 0, best, whole)

  return jax.lax.cond(too_wide(whole), of_best, lambda: whole)
