"""The cross-entropy method as PETS uses it.

Per iteration, with mean ``m``, variance ``v`` and bounds ``[l, u]``::

  v' = min(v, ((m - l) / 2)^2, ((u - m) / 2)^2)     # two sigma stay within bounds
  X ~ m + sqrt(v') * TruncatedNormal(-2, 2)
  m <- alpha m + (1 - alpha) mean(elites)
  v <- alpha v + (1 - alpha) var(elites)

Iterations after ``max(v / ((u - l) / 2)^2) <= epsilon`` change nothing. The mean is
executed. The next control step starts from the mean shifted by the executed actions,
zeros appended, and the initial variance ``((u - l) / 4)^2``.

Source: Chua et al. 2018 (PETS), the optimiser of its released code.

Deviations:
  * ``epsilon`` is a share of the squared half range. The original compares squared units
    of action, so that a narrow range counts as converged before the first update; where
    bounds are +-1 the two are the same.
  * Zeros are appended only where they lie within the inner three quarters of the range,
    the middle elsewhere. At a bound (a throttle) ``v'`` is 0, and the original, which
    appends zeros everywhere, never moves such an action again.
  * A mean within a ten-thousandth of the range of a bound is sampled with a deviation of a
    twentieth of the range, and samples are clipped. In the original a mean that has come so
    near needs many iterations to leave, and one that float32 has rounded to its bound stays
    there until it is executed, whatever the task asks for by then: a pendulum is swung up or
    not by roundings of the machine.
  * An elite without a finite return has no weight.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.noise import truncated_normal
from mbrl_jax.ops.validate import ArgumentError, between, positive
from mbrl_jax.planners.search import shift_plan
from mbrl_jax.planners.utility import average
from mbrl_jax.types import Array, Key, Search

_EDGE, _ESCAPE = 1e-4, 0.05
"""Where a mean is stuck, and its deviation there: shares of the range."""


class CEMState(NamedTuple):
  """State of the cross-entropy method; its floats may be changed at any time.

  Attributes:
    mean, variance: of the plan distribution, ``[H, A]``.
    low, high: bounds, ``[H, A]``.
    alpha: weight of the old distribution in each update, ``[]``.
    epsilon: largest variance at which the search has converged, as a share of the squared
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
  """Makes PETS' cross-entropy search; defaults are its cart-pole settings.

  Args:
    samples: ``N``, plans per iteration.
    elites: best plans that the distribution is fitted to.
    alpha: weight of the old mean and variance, 0 to 1.
    epsilon: stop when no variance is above this share of the squared half range.

  Raises:
    ValueError: more elites than samples, alpha outside 0 to 1.
  """
  positive(samples=samples, elites=elites)
  between(0.0, 1.0, alpha=alpha)
  if elites > samples:
    raise ArgumentError("elites", elites, "exceed {}.", ("samples", samples))

  def init(low: Array, high: Array) -> CEMState:
    return CEMState(
      mean=(low + high) / 2,
      variance=initial_variance(low, high),
      low=low,
      high=high,
      alpha=jnp.asarray(alpha, jnp.float32),
      epsilon=jnp.asarray(epsilon, jnp.float32),
    )

  def sample(state: CEMState, key: Key, size: int) -> tuple[Array, CEMState]:
    std = jnp.minimum(jnp.sqrt(state.variance), _room(state))
    plans = state.mean + std * truncated_normal(key, (size, *state.mean.shape))
    return jnp.clip(plans, state.low, state.high), state

  def update(state: CEMState, plans: Array, returns: Array) -> CEMState:
    mean, variance = elite_moments(plans, returns, elites)
    moved = state._replace(
      mean=state.alpha * state.mean + (1 - state.alpha) * mean,
      variance=state.alpha * state.variance + (1 - state.alpha) * variance,
    )
    half_range = (state.high - state.low) / 2
    converged = jnp.max(state.variance / jnp.square(half_range)) <= state.epsilon
    return jax.tree.map(lambda old, new: jnp.where(converged, old, new), state, moved)

  def shift(state: CEMState, steps: int) -> CEMState:
    return state._replace(
      mean=shift_plan(state.mean, steps, _rest(state.low[-1], state.high[-1])),
      variance=initial_variance(state.low, state.high),
    )

  # The mean of samples that lie on a bound may be a rounding beyond it.
  mean = lambda state: jnp.clip(state.mean, state.low, state.high)
  return Search(init, sample, update, mean, shift, lambda n: (samples,) * n)


def _room(state: CEMState) -> Array:
  """Returns the largest deviation of each action, ``[H, A]``."""
  span = state.high - state.low
  distance = jnp.minimum(state.mean - state.low, state.high - state.mean)
  return jnp.where(distance <= _EDGE * span, _ESCAPE * span, distance / 2)


def _rest(low: Array, high: Array) -> Array:
  """Returns the action ``[A]`` that is appended to a plan."""
  edge = (high - low) / 8
  return jnp.where((low + edge <= 0) & (high - edge >= 0), 0.0, (low + high) / 2)


def initial_variance(low: Array, high: Array) -> Array:
  """Returns the variance of a quarter range as standard deviation."""
  return jnp.square((high - low) / 4)


def elite_moments(plans: Array, returns: Array, elites: int) -> tuple[Array, Array]:
  """Returns mean and population variance ``[H, A]`` of the best ``elites`` plans.

  Plans of return -inf have no weight, also where they are needed to fill up.
  """
  values, indices = jax.lax.top_k(returns, elites)
  weights = (values > -jnp.inf).astype(plans.dtype)
  weights = weights / jnp.maximum(weights.sum(), 1.0)
  chosen = plans[indices]
  mean = average(weights, chosen)
  return mean, average(weights, jnp.square(chosen - mean))
