"""PDDM: reward-weighted refinement of a plan with low-pass filtered noise.

With mean plan ``m``, noise ``u_t ~ N(0, sigma^2)``, smoothing ``beta`` and weight ``kappa``::

  n_t = beta u_t + (1 - beta) n_{t-1},   n_{-1} = 0
  a = clip(m + n)
  m <- sum_i exp(kappa R_i) a_i / sum_i exp(kappa R_i)

Source: Nagabandi, Konolige, Levine and Kumar 2019, "Deep Dynamics Models for Learning
Dexterous Manipulation", and its released code.

Deviations:
  * ``as_released=True`` filters as the released code does, over mean and noise together and
    from the action executed last: ``a_t = beta (m_t + u_t) + (1 - beta) a_{t-1}``.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.noise import normal
from mbrl_jax.ops.validate import between, positive
from mbrl_jax.planners.search import clipped_mean, fixed_sizes, shift_plan
from mbrl_jax.planners.utility import (
  effective_sample_size,
  scale_step,
  shift_returns,
  softmax,
  weighted_mean,
)
from mbrl_jax.types import Array, Key, Search


class PDDMState(NamedTuple):
  """State of PDDM; its floats may be changed at any time.

  Attributes:
    mean: the plan, ``[H, A]``.
    std: deviation of the unfiltered noise, ``[H, A]``.
    previous: last executed action, ``[A]``.
    low, high: bounds, ``[H, A]``.
    kappa: weight of the returns, per unit of return, ``[]``.
    beta: smoothing coefficient, ``[]``; 1: no smoothing.
    ess: effective sample size of the last update, ``1 / sum w^2``, ``[]``.
  """

  mean: Array
  std: Array
  previous: Array
  low: Array
  high: Array
  kappa: Array
  beta: Array
  ess: Array


def pddm(
  samples: int = 700,
  *,
  kappa: float = 10.0,
  beta: float = 0.6,
  noise_scale: float = 0.9,
  as_released: bool = False,
) -> Search:
  """Makes the PDDM search; the defaults are those of its cube and ball tasks.

  Args:
    samples: ``N``, plans per iteration; the original runs one iteration.
    kappa: weight of the returns, per unit of return.
    beta: smoothing coefficient, above 0, at most 1; 1: no smoothing.
    noise_scale: deviation of the noise as a share of half the action range.
    as_released: filter as the released code does.

  Raises:
    ValueError: sizes that are not positive, beta above 1.

  Example:
    >>> search = pddm(samples=200, kappa=5.0)
    >>> state = search.init(jnp.full((2, 1), -1.0), jnp.full((2, 1), 1.0))
    >>> plans, state = search.sample(state, jax.random.key(0), 200)
    >>> state = search.update(state, plans, -jnp.abs(plans - 0.5).sum((1, 2)))
    >>> bool(jnp.all(search.mean(state) > 0.2)), bool(state.ess < 100)
    (True, True)
  """
  positive(samples=samples, kappa=kappa, beta=beta, noise_scale=noise_scale)
  between(0.0, 1.0, beta=beta)

  def init(low: Array, high: Array) -> PDDMState:
    middle = (low + high) / 2
    return PDDMState(
      mean=middle,
      std=noise_scale * (high - low) / 2,
      previous=middle[0],
      low=low,
      high=high,
      kappa=jnp.asarray(kappa, jnp.float32),
      beta=jnp.asarray(beta, jnp.float32),
      ess=jnp.asarray(samples, jnp.float32),
    )

  def sample(state: PDDMState, key: Key, size: int) -> tuple[Array, PDDMState]:
    noise = state.std * normal(key, (size, *state.mean.shape))
    if as_released:
      plans = smooth(state.mean + noise, state.beta, state.previous)
    else:
      plans = state.mean + smooth(noise, state.beta, jnp.zeros_like(state.previous))
    return jnp.clip(plans, state.low, state.high), state

  return Search(init, sample, _update, clipped_mean, _shift, fixed_sizes(samples))


def _update(state: PDDMState, plans: Array, returns: Array) -> PDDMState:
  """Moves the mean to the reward-weighted average of the plans."""
  shifted, factor = shift_returns(returns, 1 / state.kappa)
  weights = softmax(scale_step(state.kappa, 1 / factor) * shifted)
  return state._replace(mean=weighted_mean(weights, plans), ess=effective_sample_size(weights))


def _shift(state: PDDMState, steps: int) -> PDDMState:
  mean = shift_plan(state.mean, steps, state.mean[-1])
  previous = state.mean[min(steps, len(state.mean)) - 1] if steps else state.previous
  return state._replace(mean=mean, previous=previous)


def smooth(plans: Array, beta: Array, first: Array) -> Array:
  """Low-passes ``plans [N, H, A]`` over ``H``: ``y_t = beta x_t + (1 - beta) y_{t-1}``.

  Args:
    plans: ``x``.
    beta: ``[]``.
    first: ``y_{-1}``, ``[A]``.
  """

  def step(y: Array, x: Array) -> tuple[Array, Array]:
    y = beta * x + (1 - beta) * y
    return y, y

  start = jnp.broadcast_to(first, plans[:, 0].shape)
  _, smoothed = jax.lax.scan(step, start, jnp.swapaxes(plans, 0, 1))
  return jnp.swapaxes(smoothed, 0, 1)
