"""iCEM: the cross-entropy method with memory, coloured noise and a decaying population.

Added to CEM: noise coloured in time; a population that decays by ``sample_decay`` per
iteration; a share of the elites, kept from iteration to iteration and, shifted, from control
step to control step; samples clipped to the bounds; the best plan found is executed.

Source: Pinneri et al. 2020, "Sample-efficient Cross-Entropy Method for Real-time
Planning". The defaults are not the paper's, but within the usual range.

Deviations:
  * The mean competes in every iteration, not only in the last one; this costs
    one plan and needs no special case.
  * Appended actions repeat the last one, for the mean and the kept elites alike
    (the original samples those of the elites at random).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.noise import coloured_normal
from mbrl_jax.ops.validate import ArgumentError, between, positive
from mbrl_jax.planners.cem import elite_moments
from mbrl_jax.planners.search import best_plan, keep_best, shift_plan
from mbrl_jax.types import Array, Key, Search


class ICEMState(NamedTuple):
  """State of iCEM; its floats may be changed at any time.

  Attributes:
    mean, std: of the plan distribution, ``[H, A]``.
    kept: elites of the last iteration, ``[K, H, A]``.
    plan, value: best plan of this replan ``[H, A]`` and its return ``[]``.
    low, high: bounds, ``[H, A]``.
    alpha: weight of the old distribution in each update, ``[]``.
    noise_exponent: spectral exponent of the noise, ``[]``.
    noise_scale: initial standard deviation as a share of half the range, ``[]``.
  """

  mean: Array
  std: Array
  kept: Array
  plan: Array
  value: Array
  low: Array
  high: Array
  alpha: Array
  noise_exponent: Array
  noise_scale: Array


def icem(
  samples: int = 128,
  elites: int = 10,
  *,
  keep_fraction: float = 0.3,
  sample_decay: float = 1.25,
  alpha: float = 0.1,
  noise_exponent: float = 2.0,
  noise_scale: float = 0.5,
) -> Search:
  """Makes the iCEM search.

  Args:
    samples: plans of the first iteration.
    elites: number of best plans that the distribution is fitted to.
    keep_fraction: share of the elites that compete in the next iteration.
    sample_decay: iteration ``i`` samples ``max(samples / sample_decay^i, 2 elites)`` plans.
    alpha: weight of the old mean and deviation, 0 to 1.
    noise_exponent: spectral exponent of the noise; 0 white, larger is smoother.
    noise_scale: initial standard deviation as a share of half the action range.

  Raises:
    ValueError: elites above half of samples, shares outside 0 to 1, sample_decay below 1.

  Example:
    >>> icem(samples=40, elites=5, sample_decay=2.0).sizes(4)
    (40, 20, 10, 10)
  """
  positive(samples=samples, elites=elites, noise_scale=noise_scale)
  between(0.0, 1.0, keep_fraction=keep_fraction, alpha=alpha)
  if 2 * elites > samples:
    raise ArgumentError("elites", elites, "must be at most half of {}.", ("samples", samples))
  between(1, float("inf"), sample_decay=sample_decay)
  kept = max(1, round(keep_fraction * elites))

  def sizes(iterations: int) -> tuple[int, ...]:
    return tuple(max(int(samples / sample_decay**i), 2 * elites) for i in range(iterations))

  def init(low: Array, high: Array) -> ICEMState:
    middle = (low + high) / 2
    return ICEMState(
      mean=middle,
      std=noise_scale * (high - low) / 2,
      kept=jnp.broadcast_to(middle, (kept, *middle.shape)),
      plan=middle,
      value=jnp.float32(-jnp.inf),
      low=low,
      high=high,
      alpha=jnp.asarray(alpha, jnp.float32),
      noise_exponent=jnp.asarray(noise_exponent, jnp.float32),
      noise_scale=jnp.asarray(noise_scale, jnp.float32),
    )

  def update(state: ICEMState, plans: Array, returns: Array) -> ICEMState:
    return _update(state, plans, returns, elites)

  return Search(init, _sample, update, best_plan, _shift, sizes)


def _sample(state: ICEMState, key: Key, size: int) -> tuple[Array, ICEMState]:
  """Samples new plans and appends the kept elites and the mean."""
  memory = jnp.concatenate([state.kept, state.mean[None]])
  # A request for a few plans, to display them, gets new ones only.
  memory = memory if size > len(memory) else memory[:0]
  horizon, actions = state.mean.shape
  shape = (size - len(memory), horizon, actions)
  sampled = state.mean + state.std * coloured_normal(key, shape, state.noise_exponent)
  plans = jnp.concatenate([sampled, memory])
  return jnp.clip(plans, state.low, state.high), state


def _update(state: ICEMState, plans: Array, returns: Array, elites: int) -> ICEMState:
  """Fits the distribution to the elites and keeps the best of them."""
  mean, variance = elite_moments(plans, returns, elites)
  values, indices = jax.lax.top_k(returns, len(state.kept))
  return keep_best(state, plans, returns)._replace(
    mean=state.alpha * state.mean + (1 - state.alpha) * mean,
    std=state.alpha * state.std + (1 - state.alpha) * jnp.sqrt(variance),
    kept=jnp.where((values > -jnp.inf)[:, None, None], plans[indices], mean),
  )


def _shift(state: ICEMState, steps: int) -> ICEMState:
  shift = lambda plan: shift_plan(plan, steps, plan[-1])
  return state._replace(
    mean=shift(state.mean),
    std=state.noise_scale * (state.high - state.low) / 2,
    kept=jax.vmap(shift)(state.kept),
    plan=shift(state.plan),
    value=jnp.float32(-jnp.inf),
  )
