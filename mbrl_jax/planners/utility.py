"""Utilities: weights of sampled plans from their returns.

A loss ``-log E[U(R)]`` is estimated from returns ``R_i`` with weights ``w_i = U(R_i) / sum U``:

* ``exponential``: ``U = exp(R / temperature)``, the weights of MPPI;
* ``threshold``: ``U = 1`` for the elites, else 0, the weights of the cross-entropy method;
* a user function, ``returns [N] -> U [N]``.

The loss ``-E[R]``, utility ``expected``, has coefficients ``(R_i - mean R) / N`` instead, which
sum to zero. A plan without a finite return has zero weight under all of them. Returns may be of
any magnitude: their quotients, differences and sums do not overflow.

Source: Wagener, Cheng, Sacks and Boots 2019, "An Online Learning Approach to Model Predictive
Control".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.validate import ArgumentError, between, choice, positive
from mbrl_jax.types import Array

Utility = Callable[[Array], Array]
"""``(returns [N]) -> utilities [N]``, not negative; its values at -inf are not used."""

UTILITIES = ("exponential", "threshold", "expected")
_TINY, _HUGE = np.finfo(np.float32).tiny, np.finfo(np.float32).max
_LARGE = 1e4
"""Quotients of return and temperature above this lose more than 0.1 % to rounding."""
_BISECTIONS = 40
_LOG_WIDTH = np.log(np.float32(1e6))
"""Temperatures are searched within this factor (as a logarithm) of the range of the returns."""


def check_utility(
  utility: str | Utility, *, samples: int, elites: int, temperature: float, ess_fraction: float
) -> None:
  """Raises ``ValueError`` unless the arguments of ``weigh_plans`` are valid."""
  if not callable(utility):
    choice("utility", utility, UTILITIES)
  positive(samples=samples, elites=elites, temperature=temperature)
  between(0.0, 1.0, ess_fraction=ess_fraction)
  if utility == "threshold" and elites > samples:
    raise ArgumentError("elites", elites, "exceed {}.", ("samples", samples))


def weigh_plans(
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
    returns: ``[N]``; -inf for plans to be ignored.
    elites: ``K``, plans with a weight under the threshold utility.
    temperature: of the exponential utility, in units of return, ``[]``.
    ess_fraction: target effective sample size as a share of the samples, ``[]``; above 0 it
      sets the temperature.

  Returns:
    The weighted plans, ``[N, ...]`` or ``[K, ...]``; their weights, which sum to one; and the
    temperature ``[]`` that was used.
  """
  if callable(utility):
    return plans, _utility_weights(utility, returns, plans.dtype), temperature
  if utility == "threshold":
    values, indices = jax.lax.top_k(returns, elites)
    elite = (values > -jnp.inf).astype(plans.dtype)
    return plans[indices], elite / jnp.maximum(elite.sum(), 1.0), temperature
  temperature = choose_temperature(returns, temperature, ess_fraction)
  return plans, boltzmann_weights(returns, temperature), temperature


def weigh_in_state(
  state: Any, utility: str | Utility, plans: Array, returns: Array, elites: int
) -> tuple[Any, Array, Array]:
  """Weighs plans as ``weigh_plans`` does, by the temperature settings of a search's state.

  Returns:
    The state with the ``temperature`` and ``ess`` of this update, the weighted plans and
    their weights.
  """
  plans, weights, temperature = weigh_plans(
    utility,
    plans,
    returns,
    elites=elites,
    temperature=state.temperature,
    ess_fraction=state.ess_fraction,
  )
  state = state._replace(temperature=temperature, ess=effective_sample_size(weights))
  return state, plans, weights


def _utility_weights(utility: Utility, returns: Array, dtype: Any) -> Array:
  """Returns the normalised utilities ``[N]``; uniform weights where all of them are zero."""
  finite = (returns > -jnp.inf).astype(dtype)
  utilities = jnp.where(finite > 0, utility(returns), 0.0).astype(dtype)
  utilities = jnp.nan_to_num(utilities, posinf=_HUGE)
  utilities = utilities / magnitude(utilities)
  weights = jnp.where(utilities.sum() > 0, utilities, finite)
  return weights / weights.sum()


def weighted_mean(weights: Array, plans: Array) -> Array:
  """Returns ``sum_k w_k x_k`` of weights ``[K]`` and ``plans [K, ...]``."""
  # Accelerators multiply matrices in reduced precision by default, which would round actions.
  return jnp.einsum("k,k...->...", weights, plans, precision=jax.lax.Precision.HIGHEST)


def magnitude(values: Array) -> Array:
  """Returns the power of two ``[]`` that scales ``values`` to about one; ignores infinities.

  It is 1 where the largest absolute value lies between 1e-6 and 1e12, since sums of such
  squares do not overflow. Division by it is exact, except for values that underflow.
  """
  largest = jnp.max(jnp.abs(values), where=jnp.isfinite(values), initial=0.0)
  _, exponent = jnp.frexp(largest)
  power = jnp.ldexp(jnp.ones_like(largest), jnp.clip(exponent, -125, 126))
  ordinary = (largest == 0) | ((largest > 1e-6) & (largest < 1e12))
  return jnp.where(ordinary, 1.0, power)


def expected_coefficients(returns: Array) -> tuple[Array, Array]:
  """Returns the coefficients of the utility ``expected``, divided by a scale, and that scale.

  The coefficients ``[N]`` are ``(R_i - mean R) / N``; the scale ``[]`` is a power of two, 1 for
  returns of ordinary magnitude.
  """
  finite = returns > -jnp.inf
  scale = magnitude(returns)
  count = jnp.maximum(finite.sum(), 1)
  # The mean of equal returns must be exact: the scale would turn a rounding error into a step.
  origin = jnp.where(scale == 1, 0.0, jnp.max(returns / scale))
  shifted = returns / scale - origin
  mean = jnp.sum(shifted, where=finite) / count
  return jnp.where(finite, shifted - mean, 0.0) / count, scale


def scale_step(step_size: Array, scale: Array | float) -> Array:
  """Returns ``step_size * scale``, clipped to the largest float32."""
  return jnp.minimum(step_size * scale, _HUGE)


def effective_sample_size(weights: Array) -> Array:
  """Returns ``1 / sum w^2`` of weights ``[N]`` that sum to one: 1 to ``N``."""
  return 1.0 / jnp.sum(jnp.square(weights))


def softmax(logits: Array) -> Array:
  """Returns ``exp(logits) / sum exp(logits)``, without overflow where logits are recomputed.

  Compilers may compute a logit twice with different rounding. The maximum can then be below
  the largest logit, by far where logits are large; the exponent is therefore clipped to 0.
  """
  weights = jnp.exp(jnp.minimum(logits - jnp.max(logits), 0.0))
  return weights / jnp.sum(weights)


def shift_returns(returns: Array, temperature: Array) -> tuple[Array, Array]:
  """Prepares ``returns [N]`` for division by a temperature; also returns their factor ``[]``.

  Where returns are large relative to the temperature, their quotients would lose the
  differences to rounding or overflow: there the best return is subtracted. Where even that
  overflows, the factor is a power of two. Other returns stay unchanged, with a factor of 1.
  """
  largest = jnp.max(jnp.abs(returns), where=jnp.isfinite(returns), initial=0.0)
  factor = jnp.where(largest > 1e30, 2.0**-10, 1.0)
  large = largest > _LARGE * temperature
  return factor * returns - jnp.where(large, factor * jnp.max(returns), 0.0), factor


def boltzmann_weights(returns: Array, temperature: Array, cost: Array | float = 0.0) -> Array:
  """Returns the weights ``softmax(returns / temperature - cost)``, ``[N]``."""
  shifted, factor = shift_returns(returns, temperature)
  return softmax(shifted / jnp.maximum(factor * temperature, _TINY) - cost)


def choose_temperature(
  returns: Array, temperature: Array, ess_fraction: Array, cost: Array | float = 0.0
) -> Array:
  """Returns the temperature that ``ess_fraction`` sets, or ``temperature`` where it is 0."""
  # cond instead of where, since solving costs as much as a small rollout.
  solve = lambda: solve_temperature(returns, ess_fraction, cost)
  return jax.lax.cond(ess_fraction > 0, solve, lambda: temperature)


def solve_temperature(returns: Array, ess_fraction: Array, cost: Array | float = 0.0) -> Array:
  """Finds the temperature at which ``softmax(returns / T - cost)`` has an effective size.

  Without a cost the effective sample size grows with the temperature, so bisection on a
  logarithmic scale, from 1e-6 to 1e6 times the range of the returns, finds it. Where low
  outliers determine the range, that of the best returns is used, as many as the target.

  With a cost, weights at high temperatures are not uniform: they follow the cost. Where their
  effective size is below the target, the interval ends at the temperature of a grid whose
  weights are the most uniform; it is returned if its effective size is below the target too.

  Args:
    returns: ``[N]``; -inf for plans to be ignored.
    ess_fraction: target ``1 / sum w^2`` as a share of the plans with a finite return, ``[]``.
    cost: ``[N]`` or 0.
  """
  finite = jnp.isfinite(returns)
  target = jnp.maximum(ess_fraction * jnp.sum(finite), 1.0)
  largest = jnp.max(jnp.abs(returns), where=finite, initial=0.0)
  # Powers of two that keep differences and temperatures within float32.
  unit = jnp.where(largest > 1e30, 2.0**10, jnp.where(largest < 1e-25, 2.0**-40, 1.0))
  gap = returns / unit - jnp.max(returns / unit, where=finite, initial=-jnp.inf)

  def size(scale: Array, logarithm: Array) -> Array:
    temperature = jnp.maximum(scale * jnp.exp(logarithm), _TINY)
    return effective_sample_size(softmax(gap / temperature - cost))

  scale = _return_range(gap, finite, target, lambda scale: size(scale, -_LOG_WIDTH) >= target)

  def bisect(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
    low, high = ends
    middle = (low + high) / 2
    enough = size(scale, middle) >= target
    return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

  def most_uniform() -> Array:
    grid = jnp.linspace(-_LOG_WIDTH, _LOG_WIDTH, 128, dtype=jnp.float32)
    return grid[jnp.argmax(jax.vmap(lambda x: size(scale, x))(grid))]

  # The 0.1 % allows for rounding: even uniform weights reach no more than all samples.
  below = size(scale, _LOG_WIDTH) < 0.999 * target
  high = jax.lax.cond(below, most_uniform, lambda: jnp.asarray(_LOG_WIDTH))
  low, high = jax.lax.fori_loop(0, _BISECTIONS, bisect, (-_LOG_WIDTH, high))
  return jnp.clip(unit * (scale * jnp.exp((low + high) / 2)), _TINY, _HUGE)


def _return_range(
  gap: Array, finite: Array, target: Array, too_wide: Callable[[Array], Array]
) -> Array:
  """Returns the range of the returns ``[]``, or of the best ones where outliers dominate it.

  Args:
    gap: differences to the best return, ``[N]``, not positive.
    finite: which returns are finite, ``[N]``.
    target: effective sample size, ``[]``.
    too_wide: ``(scale) -> []``, whether the effective size exceeds the target even at the
      lowest temperature.
  """
  whole = -jnp.min(gap, where=finite, initial=0.0)
  whole = jnp.where(whole > 0, whole, 1e-6)

  def of_best() -> Array:
    best = jnp.sort(-gap)[jnp.ceil(target).astype(jnp.int32) - 1]
    return jnp.where(best > 0, best, whole)

  return jax.lax.cond(too_wide(whole), of_best, lambda: whole)
