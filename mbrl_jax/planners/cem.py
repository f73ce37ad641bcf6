"""The cross-entropy method (CEM) as used by PETS.

Per iteration, with mean ``m``, variance ``v`` and bounds ``[l, u]``::

  v' = min(v, ((m - l) / 2)^2, ((u - m) / 2)^2)     # two sigma stay within bounds
  X ~ m + sqrt(v') * TruncatedNormal(-2, 2)
  m <- alpha m + (1 - alpha) mean(elites)
  v <- alpha v + (1 - alpha) var(elites)

Iterations after ``max(v / ((u - l) / 2)^2) <= epsilon`` change nothing. The mean is
executed. The next control step starts from the mean, shifted by the executed actions and
padded with zeros, and from the initial variance ``((u - l) / 4)^2``.

Source: Chua et al. 2018 (PETS), the optimiser of its released code.

Deviations:
  * ``epsilon`` is a share of the squared half range. The original compares squared units
    of action, so that a narrow range counts as converged before the first update; with
    bounds of +-1 the two are the same.
  * Zeros are appended only where they lie within the inner three quarters of the range, the
    middle of the range elsewhere. At a bound (a throttle) ``v'`` is 0, and the original,
    which always appends zeros, never moves such an action again.
  * A mean within 1e-4 of the range from a bound is sampled with a deviation of 5 % of the
    range, and samples are clipped. In the original such a mean needs many iterations to
    leave, and one that float32 has rounded to its bound stays there until it is executed:
    whether a pendulum swings up then depends on rounding errors.
  * An elite without a finite return has zero weight.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.noise import truncated_normal
from mbrl_jax.ops.validate import ArgumentError, between, positive
from mbrl_jax.planners.search import clipped_mean, fixed_sizes, shift_plan
from mbrl_jax.planners.utility import weighted_mean
from mbrl_jax.types import Array, Key, Search

_BOUND_MARGIN, _BOUND_STD = 1e-4, 0.05
"""Distance from a bound within which a mean is stuck, and its deviation there: shares of the
range."""


class CEMState(NamedTuple):
  """State of the cross-entropy method; its floats may be changed at any time.

  Attributes:
    mean, variance: of the plan distribution, ``[H, A]``.
    low, high: bounds, ``[H, A]``.
    alpha: weight of the old distribution in each update, ``[]``.
    epsilon: the search has converged when no variance exceeds this share of the squared
      half range, ``[]``.
  """

  mean: Array
  variance: Array
  low: Array
  high: Array
  alpha: Array
  epsilon: Array


def cem(
  samples: int = 400, elites: int = 40, *, alpha: float = 0.1, epsilon: float = 1e-3
) -> Search:
  """Makes the cross-entropy search of PETS; the defaults are its cart-pole settings.

  Args:
    samples: ``N``, plans per iteration.
    elites: number of best plans that the distribution is fitted to.
    alpha: weight of the old mean and variance, 0 to 1.
    epsilon: stop when no variance exceeds this share of the squared half range.

  Raises:
    ValueError: more elites than samples, alpha outside 0 to 1.

  Example:
    >>> search = cem(samples=200, elites=20)
    >>> state = search.init(jnp.full((2, 1), -1.0), jnp.full((2, 1), 1.0))
    >>> for key in jax.random.split(jax.random.key(0), 3):
    ...   plans, state = search.sample(state, key, 200)
    ...   state = search.update(state, plans, -jnp.abs(plans - 0.5).sum((1, 2)))
    >>> bool(jnp.all(jnp.abs(search.mean(state) - 0.5) < 0.1))
    True
  """
  positive(samples=samples, elites=elites)
  between(0.0, 1.0, alpha=alpha)
  if elites > samples:
    raise ArgumentError("elites", elites, "exceed {}.", ("samples", samples))

  def init(low: Array, high: Array) -> CEMState:
    return CEMState(
      mean=(low + high) / 2,
      variance=_initial_variance(low, high),
      low=low,
      high=high,
      alpha=jnp.asarray(alpha, jnp.float32),
      epsilon=jnp.asarray(epsilon, jnp.float32),
    )

  def update(state: CEMState, plans: Array, returns: Array) -> CEMState:
    return _update(state, plans, returns, elites)

  return Search(init, _sample, update, clipped_mean, _shift, fixed_sizes(samples))


def _sample(state: CEMState, key: Key, size: int) -> tuple[Array, CEMState]:
  std = jnp.minimum(jnp.sqrt(state.variance), _max_std(state))
  plans = state.mean + std * truncated_normal(key, (size, *state.mean.shape))
  return jnp.clip(plans, state.low, state.high), state


def _update(state: CEMState, plans: Array, returns: Array, elites: int) -> CEMState:
  """Fits the distribution to the elites, unless it has converged."""
  mean, variance = elite_moments(plans, returns, elites)
  updated = state._replace(
    mean=state.alpha * state.mean + (1 - state.alpha) * mean,
    variance=state.alpha * state.variance + (1 - state.alpha) * variance,
  )
  half_range = (state.high - state.low) / 2
  converged = jnp.max(state.variance / jnp.square(half_range)) <= state.epsilon
  return jax.tree.map(lambda old, new: jnp.where(converged, old, new), state, updated)


def _shift(state: CEMState, steps: int) -> CEMState:
  return state._replace(
    mean=shift_plan(state.mean, steps, _appended_action(state.low[-1], state.high[-1])),
    variance=_initial_variance(state.low, state.high),
  )


def _max_std(state: CEMState) -> Array:
  """Returns the largest deviation of each action, ``[H, A]``."""
  action_range = state.high - state.low
  distance = jnp.minimum(state.mean - state.low, state.high - state.mean)
  at_bound = distance <= _BOUND_MARGIN * action_range
  return jnp.where(at_bound, _BOUND_STD * action_range, distance / 2)


def _appended_action(low: Array, high: Array) -> Array:
  """Returns the action ``[A]`` that is appended to a shifted plan."""
  margin = (high - low) / 8
  return jnp.where((low + margin <= 0) & (high - margin >= 0), 0.0, (low + high) / 2)


def _initial_variance(low: Array, high: Array) -> Array:
  """Returns the variance whose standard deviation is a quarter of the range."""
  return jnp.square((high - low) / 4)


def elite_moments(plans: Array, returns: Array, elites: int) -> tuple[Array, Array]:
  """Returns the mean and population variance ``[H, A]`` of the best ``elites`` plans.

  Plans of return -inf have zero weight, even if fewer than ``elites`` others remain.
  """
  values, indices = jax.lax.top_k(returns, elites)
  weights = (values > -jnp.inf).astype(plans.dtype)
  weights = weights / jnp.maximum(weights.sum(), 1.0)
  best = plans[indices]
  mean = weighted_mean(weights, best)
  return mean, weighted_mean(weights, jnp.square(best - mean))
