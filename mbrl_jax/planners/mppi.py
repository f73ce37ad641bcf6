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
  * Smoothness comes from noise that is coloured in time (``exponent``), not from a
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
    base: ``b``, ``[]``.
    exponent: spectral exponent of the noise, ``[]``.
    effective: wanted effective sample size as a share of the samples, ``[]``;
      0: the temperature stays as it is.
    ess: effective sample size of the last update, ``1 / sum w^2``, ``[]``.
  """

  mean: Array
  std: Array
  low: Array
  high: Array
  temperature: Array
  base: Array
  exponent: Array
  effective: Array
  ess: Array


def mppi(
  samples: int = 512,
  *,
  temperature: float = 1.0,
  effective: float = 0.0,
  spread: float = 0.5,
  base: float = 0.0,
  exponent: float = 0.0,
) -> Search:
  """Makes the MPPI search.

  Args:
    samples: ``N``, plans per iteration.
    temperature: in units of return; small means greedy.
    effective: share of the samples, 0 to 1, that the effective sample size should be;
      above 0 it sets the temperature anew in each update.
    spread: deviation of the samples as a share of half the action range.
    base: weight of the charge for control, 0 to 1.
    exponent: spectral exponent of the noise; 0 white, larger is smoother.

  Raises:
    ValueError: sizes that are not positive, shares outside 0 to 1.
  """
  positive(samples=samples, temperature=temperature, spread=spread)
  between(0.0, 1.0, effective=effective, base=base)

  def init(low: Array, high: Array) -> MPPIState:
    return MPPIState(
      mean=(low + high) / 2,
      std=spread * (high - low) / 2,
      low=low,
      high=high,
      temperature=jnp.asarray(temperature, jnp.float32),
      base=jnp.asarray(base, jnp.float32),
      exponent=jnp.asarray(exponent, jnp.float32),
      effective=jnp.asarray(effective, jnp.float32),
      ess=jnp.asarray(samples, jnp.float32),
    )

  def sample(state: MPPIState, key: Key, size: int) -> tuple[Array, MPPIState]:
    noise = coloured_normal(key, (size, *state.mean.shape), state.exponent)
    return jnp.clip(state.mean + state.std * noise, state.low, state.high), state

  def update(state: MPPIState, plans: Array, returns: Array) -> MPPIState:
    pull = state.mean / jnp.square(state.std)
    highest = jax.lax.Precision.HIGHEST  # a charge of hundreds decides by its ones
    charge = state.base * jnp.einsum("nha,ha->n", plans, pull, precision=highest)
    lam = choose_temperature(returns, state.temperature, state.effective, charge)
    weights = boltzmann(returns, lam, charge)
    moved, ess = average(weights, plans), effective_size(weights)
    return state._replace(mean=moved, temperature=lam, ess=ess)

  def shift(state: MPPIState, steps: int) -> MPPIState:
    return state._replace(mean=shift_plan(state.mean, steps, state.mean[-1]))

  # The mean of samples that lie on a bound may be a rounding beyond it.
  mean = lambda state: jnp.clip(state.mean, state.low, state.high)
  return Search(init, sample, update, mean, shift, lambda n: (samples,) * n)
