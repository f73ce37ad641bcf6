"""The cross-entropy method as PETS uses it.

Per iteration, with mean ``m``, variance ``v`` and bounds ``[l, u]``::

  v' = min(v, ((m - l) / 2)^2, ((u - m) / 2)^2)     # two sigma stay within bounds
  X ~ m + sqrt(v') * TruncatedNormal(-2, 2)
  m <- alpha m + (1 - alpha) mean(elites)
  v <- alpha v + (1 - alpha) var(elites)

Iterations after ``max(v) <= epsilon`` change nothing. The mean is executed. The
next control step starts from the mean shifted by the executed actions, zeros
appended, and the initial variance ``((u - l) / 4)^2``.

Source: Chua et al. 2018 (PETS), the optimiser of its released code.

Deviations:
  * The appended zeros are clipped to the bounds (the original leaves them, which
    is out of bounds where zero is).
  * An elite without a finite return has no weight.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.noise import truncated_normal
from mbrl_jax.ops.validate import between, positive
from mbrl_jax.planners.search import shift_plan
from mbrl_jax.planners.utility import average
from mbrl_jax.types import Array, Key, Search


class CEMState(NamedTuple):
  """State of the cross-entropy method; its floats may be changed at any time.

  Attributes:
    mean, variance: of the plan distribution, ``[H, A]``.
    low, high: bounds, ``[H, A]``.
    alpha: weight of the old distribution in each update, ``[]``.
    epsilon: largest variance at which the search has converged, ``[]``.
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
    epsilon: stop when no variance is above it, in squared action units.

  Raises:
    ValueError: more elites than samples, alpha outside 0 to 1.
  """
  positive(samples=samples, elites=elites)
  between(0.0, 1.0, alpha=alpha)
  if elites > samples:
    raise ValueError(f"elites={elites} exceed samples={samples}.")

  def init(low: Array, high: Array) -> CEMState:
    floats = jnp.asarray(alpha, jnp.float32), jnp.asarray(epsilon, jnp.float32)
    return CEMState((low + high) / 2, initial_variance(low, high), low, high, *floats)

  def sample(state: CEMState, key: Key, size: int) -> Array:
    room = jnp.minimum(state.mean - state.low, state.high - state.mean) / 2
    std = jnp.minimum(jnp.sqrt(state.variance), room)
    plans = state.mean + std * truncated_normal(key, (size, *state.mean.shape))
    return jnp.clip(plans, state.low, state.high)

  def update(state: CEMState, plans: Array, returns: Array) -> CEMState:
    mean, variance = elite_moments(plans, returns, elites)
    moved = state._replace(
      mean=state.alpha * state.mean + (1 - state.alpha) * mean,
      variance=state.alpha * state.variance + (1 - state.alpha) * variance,
    )
    converged = jnp.max(state.variance) <= state.epsilon
    return jax.tree.map(lambda old, new: jnp.where(converged, old, new), state, moved)

  def shift(state: CEMState, steps: int) -> CEMState:
    tail = jnp.clip(0.0, state.low[-1], state.high[-1])
    return state._replace(
      mean=shift_plan(state.mean, steps, tail),
      variance=initial_variance(state.low, state.high),
    )

  return Search(init, sample, update, lambda state: state.mean, shift, lambda n: (samples,) * n)


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
