"""MPPI: model-predictive path integral control, information-theoretic form.

With mean plan ``u``, fixed deviation ``sigma``, temperature ``lam`` and control cost ``b``::

  v_i = u + sigma * noise_i                           # clipped to the bounds
  w_i = softmax_i((return_i - lam b sum u v_i / sigma^2) / lam)
  u  <- sum_i w_i v_i

``b`` in 0 to 1 is the share of the uncontrolled system in the base distribution (1 in the
derivation, which penalises control) as opposed to the current plan (0: no control cost). The
temperature is given, or solved for in each update so that the effective sample size
``1 / sum w^2`` of these weights, control cost included, is a given share of the samples, or
the closest that any temperature attains: the control cost keeps weights uneven however high
the temperature.

Source: Williams et al. 2017, "Information-Theoretic Model Predictive Control: Theory and
Applications to Autonomous Driving".

Deviations:
  * Returns are maximised, so signs are reversed.
  * Smoothness comes from noise that is coloured in time (``noise_exponent``), not from a
    filter over the plan.
  * The clipped samples are averaged, not the noise, so the mean stays within bounds.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.noise import coloured_normal
from mbrl_jax.ops.validate import between, positive
from mbrl_jax.planners.search import clipped_mean, fixed_sizes, shift_plan
from mbrl_jax.planners.utility import (
  boltzmann_weights,
  choose_temperature,
  effective_sample_size,
  weighted_mean,
)
from mbrl_jax.types import Array, Key, Search


class MPPIState(NamedTuple):
  """State of MPPI; its floats may be changed at any time.

  Attributes:
    mean: the plan, ``[H, A]``.
    std: deviation of the samples, ``[H, A]``.
    low, high: bounds, ``[H, A]``.
    temperature: ``lam`` of the last update (or of all), in units of return, ``[]``.
    control_cost: ``b``, ``[]``.
    noise_exponent: spectral exponent of the noise, ``[]``.
    ess_fraction: target effective sample size as a share of the samples, ``[]``;
      0: the temperature is fixed.
    ess: effective sample size of the last update, ``1 / sum w^2``, ``[]``.
  """

  mean: Array
  std: Array
  low: Array
  high: Array
  temperature: Array
  control_cost: Array
  noise_exponent: Array
  ess_fraction: Array
  ess: Array


def mppi(
  samples: int = 512,
  *,
  temperature: float = 1.0,
  ess_fraction: float = 0.0,
  noise_scale: float = 0.5,
  control_cost: float = 0.0,
  noise_exponent: float = 0.0,
) -> Search:
  """Makes the MPPI search.

  Args:
    samples: ``N``, plans per iteration.
    temperature: in units of return; small means greedy.
    ess_fraction: target effective sample size as a share of the samples, 0 to 1; above 0
      it sets the temperature in each update.
    noise_scale: deviation of the samples as a share of half the action range.
    control_cost: weight of the control cost, 0 to 1.
    noise_exponent: spectral exponent of the noise; 0 white, larger is smoother.

  Raises:
    ValueError: sizes that are not positive, shares outside 0 to 1.

  Example:
    >>> search = mppi(samples=200, ess_fraction=0.1)
    >>> state = search.init(jnp.full((2, 1), -1.0), jnp.full((2, 1), 1.0))
    >>> plans, state = search.sample(state, jax.random.key(0), 200)
    >>> state = search.update(state, plans, -jnp.abs(plans - 0.5).sum((1, 2)))
    >>> round(float(state.ess))
    20
  """
  positive(samples=samples, temperature=temperature, noise_scale=noise_scale)
  between(0.0, 1.0, ess_fraction=ess_fraction, control_cost=control_cost)

  def init(low: Array, high: Array) -> MPPIState:
    return MPPIState(
      mean=(low + high) / 2,
      std=noise_scale * (high - low) / 2,
      low=low,
      high=high,
      temperature=jnp.asarray(temperature, jnp.float32),
      control_cost=jnp.asarray(control_cost, jnp.float32),
      noise_exponent=jnp.asarray(noise_exponent, jnp.float32),
      ess_fraction=jnp.asarray(ess_fraction, jnp.float32),
      ess=jnp.asarray(samples, jnp.float32),
    )

  return Search(init, _sample, _update, clipped_mean, _shift, fixed_sizes(samples))


def _sample(state: MPPIState, key: Key, size: int) -> tuple[Array, MPPIState]:
  horizon, actions = state.mean.shape
  noise = coloured_normal(key, (size, horizon, actions), state.noise_exponent)
  return jnp.clip(state.mean + state.std * noise, state.low, state.high), state


def _update(state: MPPIState, plans: Array, returns: Array) -> MPPIState:
  """Moves the mean to the Boltzmann-weighted average of the plans."""
  gradient = state.mean / jnp.square(state.std)
  highest = jax.lax.Precision.HIGHEST  # costs may be in the hundreds and differ by ones
  cost = state.control_cost * jnp.einsum("nha,ha->n", plans, gradient, precision=highest)
  lam = choose_temperature(returns, state.temperature, state.ess_fraction, cost)
  weights = boltzmann_weights(returns, lam, cost)
  mean, ess = weighted_mean(weights, plans), effective_sample_size(weights)
  return state._replace(mean=mean, temperature=lam, ess=ess)


def _shift(state: MPPIState, steps: int) -> MPPIState:
  return state._replace(mean=shift_plan(state.mean, steps, state.mean[-1]))
