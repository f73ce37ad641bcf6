"""Utilities: what the returns of sampled plans say about where to move a distribution.

A loss ``-log E[U(R)]`` is estimated from returns ``R_i`` by weights ``w_i = U(R_i) / sum U``:

* ``exponential``: ``U = exp(R / temperature)``, the weights of MPPI;
* ``threshold``: ``U = 1`` for the elites and 0 for the others, the cross-entropy method's;
* a function of the user's, ``returns [N] -> U [N]``.

The loss ``-E[R]``, utility ``expected``, has coefficients ``(R_i - mean R) / N`` instead, which
sum to zero. A plan without a finite return has no weight under any of them.

Source: Wagener, Cheng, Sacks and Boots 2019, "An Online Learning Approach to Model Predictive
Control".
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from mbrl_jax.ops.validate import between, choice, positive
from mbrl_jax.types import Array

Utility = Callable[[Array], Array]
"""``(returns [N]) -> utilities [N]``, not negative; what it says of -inf is not used."""

UTILITIES = ("exponential", "threshold", "expected")
_HALVINGS = 40


def check_utility(
  utility: str | Utility, *, samples: int, elites: int, temperature: float, effective: float
) -> None:
  """Raises ``ValueError`` unless ``weigh`` can work with these settings."""
  if not callable(utility):
    choice("utility", utility, UTILITIES)
  positive(samples=samples, elites=elites, temperature=temperature)
  between(0.0, 1.0, effective=effective)
  if elites > samples:
    raise ValueError(f"elites={elites} exceed samples={samples}.")


def weigh(
  utility: str | Utility,
  plans: Array,
  returns: Array,
  *,
  elites: int,
  temperature: Array,
  effective: Array,
) -> tuple[Array, Array, Array]:
  """Weighs plans by any utility but ``expected``.

  Args:
    utility: see the module.
    plans: ``[N, ...]``.
    returns: ``[N]``; -inf where a plan does not count.
    elites: ``K``, plans that the threshold keeps.
    temperature: of the exponential utility, in units of return, ``[]``.
    effective: wanted effective sample size as a share of the samples, ``[]``; above 0 it
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
    temperature = choose_temperature(returns, temperature, effective)
    return plans, jax.nn.softmax(returns / temperature), temperature
  counts = (returns > -jnp.inf).astype(plans.dtype)
  utilities = jnp.where(counts > 0, utility(returns), 0.0)
  # Where nothing is of any use, all plans are alike.
  weights = jnp.where(utilities.sum() > 0, utilities, counts)
  return plans, weights / weights.sum(), temperature


def average(weights: Array, plans: Array) -> Array:
  """Returns ``sum_k w_k x_k`` of weights ``[K]`` and ``plans [K, ...]``."""
  # Accelerators would otherwise round actions to the few bits of their fast products.
  return jnp.einsum("k,k...->...", weights, plans, precision=jax.lax.Precision.HIGHEST)


def centre(returns: Array) -> Array:
  """Returns the coefficients ``(R_i - mean R) / N`` of the utility ``expected``, ``[N]``."""
  finite = returns > -jnp.inf
  count = jnp.maximum(finite.sum(), 1)
  mean = jnp.sum(returns, where=finite) / count
  return jnp.where(finite, returns - mean, 0.0) / count


def effective_size(weights: Array) -> Array:
  """Returns ``1 / sum w^2`` of weights ``[N]`` that sum to one: 1 to ``N``."""
  return 1.0 / jnp.sum(jnp.square(weights))


def choose_temperature(returns: Array, temperature: Array, effective: Array) -> Array:
  """Returns the temperature that ``effective`` sets, or the given one where it is 0."""
  # A condition and no selection: searching costs as much as a small rollout.
  find = lambda: temperature_for(returns, effective)
  return jax.lax.cond(effective > 0, find, lambda: temperature)


def temperature_for(returns: Array, share: Array) -> Array:
  """Finds the temperature at which ``softmax(returns / T)`` has a given effective size.

  The effective size grows with the temperature, so halving an interval on a logarithmic
  scale, from a millionth to a million times the spread of the returns, finds it.

  Args:
    returns: ``[N]``; -inf where a plan does not count.
    share: wanted ``1 / sum w^2`` as a share of the plans that count, ``[]``.
  """
  finite = jnp.isfinite(returns)
  wanted = jnp.maximum(share * jnp.sum(finite), 1.0)
  top = jnp.max(returns, where=finite, initial=-jnp.inf)
  spread = jnp.maximum(top - jnp.min(returns, where=finite, initial=jnp.inf), 1e-6)

  def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
    low, high = ends
    middle = (low + high) / 2
    weights = jax.nn.softmax((returns - top) / (spread * jnp.exp(middle)))
    enough = effective_size(weights) >= wanted
    return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

  width = jnp.log(jnp.float32(1e6))
  low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (-width, width))
  return spread * jnp.exp((low + high) / 2)
