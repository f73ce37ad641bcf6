"""MPPI: model-predictive path integral control in its information-theoretic form.

With mean plan ``u``, fixed deviation ``sigma``, temperature ``lam`` and base weight ``b``::

  v_i = u + sigma * noise_i                           # clipped to the bounds
  w_i = softmax_i((return_i - lam b sum u v_i / sigma^2) / lam)
  u  <- sum_i w_i v_i

``b`` in 0 to 1 says how much of the base distribution is the uncontrolled system (1 in the
derivation, which charges for control) instead of the present plan (0, no charge). The
temperature is given, or found in each update so that the effective sample size
``1 / sum w^2`` of these weights, charge included, is a given share of the samples, or as near
to it as any temperature brings it: however hot, weights are no more even than the charge.

Source: Williams et al. 2017, "Information-Theoretic Model Predictive Control: Theory and
Applications to Autonomous Driving".

Deviations:
  * Returns are maximised, so signs are turned.
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
from mbrl_jax.planners.search import shift_plan
from mbrl_jax.planners.utility import (
  average,
  boltzmann,
  choose_temperature,
  effective_size,
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
    ess_fraction: wanted effective sample size as a share of the samples, ``[]``;
      0: the temperature stays as it is.
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
    ess_fraction: share of the samples, 0 to 1, that the effective sample size should be;
      above 0 it sets the temperature anew in each update.
    noise_scale: deviation of the samples as a share of half the action range.
    control_cost: weight of the charge for control, 0 to 1.
    noise_exponent: spectral exponent of the noise; 0 white, larger is smoother.

  Raises:
    ValueError: sizes that are not positive, shares outside 0 to 1.
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

  def sample(state: MPPIState, key: Key, size: int) -> tuple[Array, MPPIState]:
    noise = coloured_normal(key, (size, *state.mean.shape), state.noise_exponent)
    return jnp.clip(state.mean + state.std * noise, state.low, state.high), state

  def update(state: MPPIState, plans: Array, returns: Array) -> MPPIState:
    pull = state.mean / jnp.square(state.std)
    highest = jax.lax.Precision.HIGHEST  # a charge of hundreds decides by its ones
    charge = state.control_cost * jnp.einsum("nha,ha->n", plans, pull, precision=highest)
    lam = choose_temperature(returns, state.temperature, state.ess_fraction, charge)
    weights = boltzmann(returns, lam, charge)
    moved, ess = average(weights, plans), effective_size(weights)
    return state._replace(mean=moved, temperature=lam, ess=ess)

  def shift(state: MPPIState, steps: int) -> MPPIState:
    return state._replace(mean=shift_plan(state.mean, steps, state.mean[-1]))

  # The mean of samples that lie on a bound may be a rounding beyond it.
  mean = lambda state: jnp.clip(state.mean, state.low, state.high)
  return Search(init, sample, update, mean, shift, lambda n: (samples,) * n)
