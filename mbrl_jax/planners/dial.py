"""Annealed MPPI (DIAL-MPC): its noise shrinks with each iteration and towards the present.

At iteration ``i`` of a control step, with plan ``u`` and returns standardised over samples::

  sigma = std * iteration_decay^i * horizon_decay^((H - 1 - h) / (H - 1))
  v_i   = u + sigma * noise_i  (clipped to the bounds),   v_N = u
  u    <- sum_i softmax_i(standardised return_i / temperature) v_i

Distant actions are searched widely; near ones, refined at earlier control steps, narrowly.

Source: Xue et al. 2024, "Full-Order Sampling-Based MPC for Torque-Level Locomotion Control via
Diffusion-Style Annealing" (DIAL-MPC); the formulas follow its released code.

Deviations:
  * ``horizon_decay`` is the first action's deviation as a share of the last one's, which does
    not depend on the horizon or the number of knots; the released code takes a factor per knot.
  * The first action is searched too; in the released code it stays fixed.
  * Appended actions repeat the last one; in the released code they are zeros.
  * The first plan of an episode gets no more iterations than the others.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from mbrl_jax.ops.noise import normal
from mbrl_jax.ops.validate import between, positive
from mbrl_jax.planners.search import clipped_mean, fixed_sizes, shift_plan
from mbrl_jax.planners.utility import (
  boltzmann_weights,
  effective_sample_size,
  magnitude,
  weighted_mean,
)
from mbrl_jax.types import Array, Key, Search


class DIALState(NamedTuple):
  """State of annealed MPPI; its floats may be changed at any time.

  Attributes:
    mean: ``u``, ``[H, A]``.
    std: deviation before annealing, ``[H, A]``.
    low, high: bounds, ``[H, A]``.
    iteration: ``i``, ``[]`` int32.
    temperature: in standard deviations of the returns, ``[]``.
    iteration_decay, horizon_decay: see the module, ``[]``.
    ess: effective sample size of the last update, ``1 / sum w^2``, ``[]``.
  """

  mean: Array
  std: Array
  low: Array
  high: Array
  iteration: Array
  temperature: Array
  iteration_decay: Array
  horizon_decay: Array
  ess: Array


def dial(
  samples: int = 256,
  *,
  temperature: float = 0.1,
  noise_scale: float = 1.0,
  iteration_decay: float = 0.7,
  horizon_decay: float = 0.5,
) -> Search:
  """Makes the annealed search.

  Args:
    samples: ``N``, plans per iteration, including the current one.
    temperature: in standard deviations of the returns; small means greedy.
    noise_scale: largest deviation of the noise as a share of half the action range.
    iteration_decay: factor on the deviation from iteration to iteration, 0 to 1.
    horizon_decay: deviation of the first action as a share of the last one's, 0 to 1.

  Raises:
    ValueError: sizes that are not positive, shares outside 0 to 1.

  Example:
    >>> search = dial(samples=8, iteration_decay=0.5, horizon_decay=0.25)
    >>> state = search.init(jnp.full((3, 1), -1.0), jnp.full((3, 1), 1.0))
    >>> annealed_std(state).ravel().tolist()
    [0.25, 0.5, 1.0]
  """
  positive(samples=samples, temperature=temperature, noise_scale=noise_scale)
  between(0.0, 1.0, iteration_decay=iteration_decay, horizon_decay=horizon_decay)

  def init(low: Array, high: Array) -> DIALState:
    return DIALState(
      mean=(low + high) / 2,
      std=noise_scale * (high - low) / 2,
      low=low,
      high=high,
      iteration=jnp.zeros((), jnp.int32),
      temperature=jnp.asarray(temperature, jnp.float32),
      iteration_decay=jnp.asarray(iteration_decay, jnp.float32),
      horizon_decay=jnp.asarray(horizon_decay, jnp.float32),
      ess=jnp.asarray(samples, jnp.float32),
    )

  return Search(init, _sample, _update, clipped_mean, _shift, fixed_sizes(samples))


def _sample(state: DIALState, key: Key, size: int) -> tuple[Array, DIALState]:
  noise = annealed_std(state) * normal(key, (size, *state.mean.shape))
  # The current plan competes, as the last one.
  plans = (state.mean + noise).at[-1].set(state.mean)
  return jnp.clip(plans, state.low, state.high), state


def _update(state: DIALState, plans: Array, returns: Array) -> DIALState:
  """Moves the mean to the Boltzmann-weighted average of the plans."""
  scale = magnitude(returns)
  std = scale * jnp.std(returns / scale, where=returns > -jnp.inf)
  weights = boltzmann_weights(returns, std * state.temperature)
  mean, ess = weighted_mean(weights, plans), effective_sample_size(weights)
  return state._replace(mean=mean, iteration=state.iteration + 1, ess=ess)


def _shift(state: DIALState, steps: int) -> DIALState:
  mean = shift_plan(state.mean, steps, state.mean[-1])
  return state._replace(mean=mean, iteration=jnp.zeros((), jnp.int32))


def annealed_std(state: DIALState) -> Array:
  """Returns the deviation ``[H, A]`` of the next iteration's samples."""
  last = len(state.mean) - 1
  exponent = (last - jnp.arange(last + 1, dtype=jnp.float32)[:, None]) / max(last, 1)
  return state.std * state.iteration_decay**state.iteration * state.horizon_decay**exponent
