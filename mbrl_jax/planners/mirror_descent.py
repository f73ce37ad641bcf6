"""Dynamic mirror descent MPC: one mirror-descent step on a Gaussian over plans.

With parameters ``t~`` of the shifted distribution, a step of size ``g`` on a loss ``l`` is::

  t = argmin_t  g <grad l(t~), t> + D(t, t~)

Five things are chosen: the distribution (a Gaussian ``N(u, S)`` here; see ``categorical``), the
loss (see ``utility``), the divergence ``D``, the step size and the shift model.

``divergence="kl"``: ``t`` are the natural parameters and ``D = KL(N(t~) || N(t))``. Setting the
derivative to zero gives a step that is linear in the mean parameters, first and second moment.
For a utility with weights ``w_i`` of the samples ``v_i`` it reads::

  u' = (1 - g) u + g u_w
  S' = (1 - g) S + g S_w + g (1 - g) (u_w - u) (u_w - u)^T

where ``u_w`` and ``S_w`` are the weighted mean and covariance of the samples. With ``g = 1``
the exponential utility is MPPI, and the threshold is the cross-entropy method. The utility
``expected`` gives ``u' = u + g sum_i c_i (v_i - u)`` with ``c_i = (R_i - mean R) / N``.

``divergence="euclidean"``: ``t`` is the mean and ``D = |u - u~|^2 / 2``. The gradient of
``log N(v)`` by ``u`` is ``(v - u) / S``, so the same directions are divided by the variance::

  u' = u + g (u_w - u) / S        expected:  u' = u + g sum_i c_i (v_i - u) / S

the last being stochastic gradient ascent on the expected return.

The shift model drops the actions that were executed, appends the last one again or zeros, and
pulls the covariance back to the initial one by the share ``forget``.

Source: Wagener, Cheng, Sacks and Boots 2019, "An Online Learning Approach to Model Predictive
Control"; the steps are derived here for the Gaussian, and tested against the second moment and
against automatic differentiation.

Deviations:
  * ``forget`` is ours; without it a learnt covariance only ever shrinks.
  * Samples are clipped to the bounds, and the moments are those of the clipped samples.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.noise import normal
from mbrl_jax.ops.validate import ArgumentError, between, choice, positive
from mbrl_jax.planners.search import shift_plan
from mbrl_jax.planners.utility import (
  Utility,
  average,
  centre,
  check_utility,
  effective_size,
  product,
  weigh,
)
from mbrl_jax.types import Array, Key, Search

COVARIANCES = ("fixed", "diagonal", "full")
DIVERGENCES = ("kl", "euclidean")
TAILS = ("repeat", "zero")
_HIGHEST = jax.lax.Precision.HIGHEST  # covariances of single bits are no longer positive
_JITTER = 1e-6
"""Share of the initial variance that keeps a full covariance positive definite."""


class MirrorDescentState(NamedTuple):
  """State of mirror descent; its floats may be changed at any time.

  Attributes:
    mean: ``u``, ``[H, A]``.
    covariance: ``S``: variances ``[H, A]``, or ``[H A, H A]`` where it is full.
    low, high: bounds, ``[H, A]``.
    initial: initial variances, ``[H, A]``.
    step_size: ``g``, ``[]``.
    temperature: of the exponential utility, in units of return, ``[]``.
    ess_fraction: wanted effective sample size as a share of the samples, ``[]``; above 0 it
      sets the temperature anew in each update.
    forget: share of the initial covariance that each shift brings back, ``[]``.
    ess: effective sample size of the last update, ``1 / sum w^2``, ``[]``; of the expected
      utility, which has no weights, all samples.
  """

  mean: Array
  covariance: Array
  low: Array
  high: Array
  initial: Array
  step_size: Array
  temperature: Array
  ess_fraction: Array
  forget: Array
  ess: Array


def mirror_descent(
  samples: int = 128,
  *,
  utility: str | Utility = "exponential",
  covariance: str = "fixed",
  divergence: str = "kl",
  tail: str = "repeat",
  step_size: float = 1.0,
  temperature: float = 1.0,
  ess_fraction: float = 0.05,
  elites: int = 12,
  noise_scale: float = 0.5,
  forget: float = 1.0,
) -> Search:
  """Makes the mirror-descent search over Gaussians.

  Args:
    samples: ``N``, plans per iteration.
    utility: ``"exponential"``, ``"threshold"``, ``"expected"`` or a function.
    covariance: ``"fixed"``, ``"diagonal"`` or ``"full"`` (over the whole plan).
    divergence: ``"kl"`` or ``"euclidean"``.
    tail: what a shift appends: ``"repeat"`` the last action, or ``"zero"``, clipped to the
      bounds.
    step_size: ``g``, 0 to 1 where it mixes (kl, utility with weights); 1 forgets the warm
      start. Otherwise any: per unit of return where the utility is expected, in squared
      units of action where the divergence is euclidean.
    temperature: of the exponential utility, in units of return.
    ess_fraction: share of the samples that the effective sample size should be, which
      then sets the temperature; 0: the temperature stays.
    elites: plans that the threshold utility keeps.
    noise_scale: initial deviation as a share of half the action range.
    forget: share of the initial covariance that each control step brings back.

  Raises:
    ValueError: unknown names, sizes that are not positive, shares outside 0 to 1, a
      covariance that is not fixed where only the mean moves.
  """
  check_utility(
    utility, samples=samples, elites=elites, temperature=temperature, ess_fraction=ess_fraction
  )
  choice("covariance", covariance, COVARIANCES)
  choice("divergence", divergence, DIVERGENCES)
  choice("tail", tail, TAILS)
  positive(noise_scale=noise_scale)
  between(0.0, 1.0, forget=forget)
  mixes = utility != "expected" and divergence == "kl"
  between(0.0, 1.0 if mixes else float("inf"), step_size=step_size)
  if not mixes and covariance != "fixed":
    raise ArgumentError(
      "covariance",
      covariance,
      "must be 'fixed', since {} with {} moves the mean only.",
      ("utility", utility),
      ("divergence", divergence),
    )
  full = covariance == "full"

  def init(low: Array, high: Array) -> MirrorDescentState:
    initial = jnp.square(noise_scale * (high - low) / 2)
    return MirrorDescentState(
      mean=(low + high) / 2,
      covariance=jnp.diag(initial.ravel()) if full else initial,
      low=low,
      high=high,
      initial=initial,
      step_size=jnp.asarray(step_size, jnp.float32),
      temperature=jnp.asarray(temperature, jnp.float32),
      ess_fraction=jnp.asarray(ess_fraction, jnp.float32),
      forget=jnp.asarray(forget, jnp.float32),
      ess=jnp.asarray(samples, jnp.float32),
    )

  def sample(
    state: MirrorDescentState, key: Key, size: int
  ) -> tuple[Array, MirrorDescentState]:
    noise = normal(key, (size, *state.mean.shape))
    if full:
      jitter = jnp.diag(_JITTER * state.initial.ravel())
      factor = jnp.linalg.cholesky(state.covariance + jitter)
      drawn = jnp.matmul(noise.reshape(size, -1), factor.T, precision=_HIGHEST)
      noise = drawn.reshape(noise.shape)
    else:
      noise = jnp.sqrt(state.covariance) * noise
    return jnp.clip(state.mean + noise, state.low, state.high), state

  def update(state: MirrorDescentState, plans: Array, returns: Array) -> MirrorDescentState:
    if utility == "expected":
      coefficients, unit = centre(returns)
      direction = average(coefficients, plans - state.mean)
      return _step(state, direction, divergence, unit)
    floats = {"temperature": state.temperature, "ess_fraction": state.ess_fraction}
    plans, weights, temperature = weigh(utility, plans, returns, elites=elites, **floats)
    state = state._replace(temperature=temperature, ess=effective_size(weights))
    if divergence == "euclidean":
      direction = average(weights, plans) - state.mean
      return _step(state, direction, divergence)
    return _mix(state, plans, weights, covariance)

  def shift(state: MirrorDescentState, steps: int) -> MirrorDescentState:
    initial = jnp.diag(state.initial.ravel()) if full else state.initial
    kept = _shift_covariance(state.covariance, steps, state.mean.shape, full)
    zero = jnp.clip(0.0, state.low[-1], state.high[-1])
    return state._replace(
      mean=shift_plan(state.mean, steps, state.mean[-1] if tail == "repeat" else zero),
      covariance=(1 - state.forget) * kept + state.forget * initial,
    )

  # The mean of samples that lie on a bound may be a rounding beyond it.
  mean = lambda state: jnp.clip(state.mean, state.low, state.high)
  return Search(init, sample, update, mean, shift, lambda n: (samples,) * n)


def _step(
  state: MirrorDescentState, direction: Array, divergence: str, unit: Array | float = 1.0
) -> MirrorDescentState:
  """Moves the mean along ``direction [H, A]``, in units of ``unit``, within the bounds."""
  if divergence == "euclidean":
    direction = direction / state.covariance
  mean = state.mean + product(state.step_size, unit) * direction
  return state._replace(mean=jnp.clip(mean, state.low, state.high))


def _mix(
  state: MirrorDescentState, plans: Array, weights: Array, covariance: str
) -> MirrorDescentState:
  """Takes the step that is linear in mean parameters, see the module."""
  g = state.step_size
  mean = average(weights, plans)
  moved = state._replace(mean=(1 - g) * state.mean + g * mean)
  if covariance == "fixed":
    return moved
  jump = mean - state.mean
  if covariance == "diagonal":
    spread = average(weights, jnp.square(plans - mean))
    outer = jnp.square(jump)
  else:
    rows = (plans - mean).reshape(len(plans), -1)
    spread = jnp.einsum("k,ki,kj->ij", weights, rows, rows, precision=_HIGHEST)
    outer = jnp.outer(jump, jump)
  stepped = (1 - g) * state.covariance + g * spread + g * (1 - g) * outer
  return moved._replace(covariance=stepped)


def _shift_covariance(
  covariance: Array, steps: int, shape: tuple[int, int], full: bool
) -> Array:
  """Moves variances on in time; the steps that enter repeat the last one's, uncorrelated."""
  horizon, actions = shape
  if not full:
    return shift_plan(covariance, steps, covariance[-1])
  blocks = covariance.reshape(horizon, actions, horizon, actions)
  last = blocks[-1, :, -1, :]
  kept = max(horizon - steps, 0)
  moved = jnp.zeros_like(blocks).at[:kept, :, :kept].set(blocks[steps:, :, steps:])
  new = jnp.arange(kept, horizon)
  return moved.at[new, :, new, :].set(last).reshape(covariance.shape)
