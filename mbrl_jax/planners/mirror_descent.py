"""Dynamic mirror descent MPC: mirror-descent steps on a Gaussian over plans.

With parameters ``t~`` of the shifted distribution, a step of size ``g`` on a loss ``l`` is::

  t = argmin_t  g <grad l(t~), t> + D(t, t~)

The choices are the distribution (here a Gaussian ``N(u, S)``; see also ``categorical``), the
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

The second is stochastic gradient ascent on the expected return.

The shift model drops the executed actions, appends copies of the last one or zeros, and mixes
the share ``forget`` of the initial covariance into the covariance.

Source: Wagener, Cheng, Sacks and Boots 2019, "An Online Learning Approach to Model Predictive
Control"; the steps are derived here for the Gaussian, and tested against the second moment and
against automatic differentiation.

Deviations:
  * ``forget`` is not in the paper; without it a learnt covariance only shrinks.
  * Samples are clipped to the bounds, and the moments are those of the clipped samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.noise import normal
from mbrl_jax.ops.validate import ArgumentError, between, choice, positive
from mbrl_jax.planners.search import clipped_mean, fixed_sizes, shift_plan
from mbrl_jax.planners.utility import (
  Utility,
  check_utility,
  expected_coefficients,
  scale_step,
  weigh_in_state,
  weighted_mean,
)
from mbrl_jax.types import Array, Key, Search

COVARIANCES = ("fixed", "diagonal", "full")
DIVERGENCES = ("kl", "euclidean")
TAILS = ("repeat", "zero")
_HIGHEST = jax.lax.Precision.HIGHEST  # rounded to few bits, covariances lose definiteness
_JITTER = 1e-6
"""Share of the initial variance, added to a full covariance to keep it positive definite."""


class MirrorDescentState(NamedTuple):
  """State of mirror descent; its floats may be changed at any time.

  Attributes:
    mean: ``u``, ``[H, A]``.
    covariance: ``S``: variances ``[H, A]``, or a full covariance ``[H A, H A]``.
    low, high: bounds, ``[H, A]``.
    initial: initial variances, ``[H, A]``.
    step_size: ``g``, ``[]``.
    temperature: of the exponential utility, in units of return, ``[]``.
    ess_fraction: target effective sample size as a share of the samples, ``[]``; above 0 it
      sets the temperature in each update.
    forget: share of the initial covariance that each shift mixes in, ``[]``.
    ess: effective sample size of the last update, ``1 / sum w^2``, ``[]``; the number of
      samples for the expected utility, which has no weights.
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
    tail: action that a shift appends: ``"repeat"`` (the last one) or ``"zero"``, clipped to
      the bounds.
    step_size: ``g``, 0 to 1 for kl with a utility that has weights; 1 discards the warm
      start. Otherwise not negative: per unit of return for the expected utility, in squared
      units of action for the euclidean divergence.
    temperature: of the exponential utility, in units of return.
    ess_fraction: target effective sample size as a share of the samples, which sets the
      temperature; 0: the temperature is fixed.
    elites: plans with a weight under the threshold utility.
    noise_scale: initial deviation as a share of half the action range.
    forget: share of the initial covariance that each shift mixes in.

  Raises:
    ValueError: unknown names, sizes that are not positive, shares outside 0 to 1, a
      covariance that is not fixed where only the mean moves.

  Example:
    >>> search = mirror_descent(samples=64, covariance="diagonal", step_size=0.5)
    >>> search.init(jnp.full((2, 1), -1.0), jnp.full((2, 1), 1.0)).covariance.ravel().tolist()
    [0.25, 0.25]
  """
  method = _MirrorDescent(
    samples, utility, covariance, divergence, tail, step_size, temperature, ess_fraction,
    elites, noise_scale, forget,
  )  # fmt: skip
  sizes = fixed_sizes(samples)
  return Search(method.init, method.sample, method.update, clipped_mean, method.shift, sizes)


@dataclass(frozen=True)
class _MirrorDescent:
  """The functions of the search; see ``mirror_descent`` for the attributes."""

  samples: int
  utility: str | Utility
  covariance: str
  divergence: str
  tail: str
  step_size: float
  temperature: float
  ess_fraction: float
  elites: int
  noise_scale: float
  forget: float

  def __post_init__(self) -> None:
    check_utility(
      self.utility,
      samples=self.samples,
      elites=self.elites,
      temperature=self.temperature,
      ess_fraction=self.ess_fraction,
    )
    choice("covariance", self.covariance, COVARIANCES)
    choice("divergence", self.divergence, DIVERGENCES)
    choice("tail", self.tail, TAILS)
    positive(noise_scale=self.noise_scale)
    between(0.0, 1.0, forget=self.forget)
    mixes = self.utility != "expected" and self.divergence == "kl"
    between(0.0, 1.0 if mixes else float("inf"), step_size=self.step_size)
    if not mixes and self.covariance != "fixed":
      raise ArgumentError(
        "covariance",
        self.covariance,
        "must be 'fixed', since {} with {} moves the mean only.",
        ("utility", self.utility),
        ("divergence", self.divergence),
      )

  def init(self, low: Array, high: Array) -> MirrorDescentState:
    initial = jnp.square(self.noise_scale * (high - low) / 2)
    return MirrorDescentState(
      mean=(low + high) / 2,
      covariance=self._as_covariance(initial),
      low=low,
      high=high,
      initial=initial,
      step_size=jnp.asarray(self.step_size, jnp.float32),
      temperature=jnp.asarray(self.temperature, jnp.float32),
      ess_fraction=jnp.asarray(self.ess_fraction, jnp.float32),
      forget=jnp.asarray(self.forget, jnp.float32),
      ess=jnp.asarray(self.samples, jnp.float32),
    )

  def sample(
    self, state: MirrorDescentState, key: Key, size: int
  ) -> tuple[Array, MirrorDescentState]:
    noise = normal(key, (size, *state.mean.shape))
    if self.covariance == "full":
      jitter = jnp.diag(_JITTER * state.initial.ravel())
      factor = jnp.linalg.cholesky(state.covariance + jitter)
      correlated = jnp.matmul(noise.reshape(size, -1), factor.T, precision=_HIGHEST)
      noise = correlated.reshape(noise.shape)
    else:
      noise = jnp.sqrt(state.covariance) * noise
    return jnp.clip(state.mean + noise, state.low, state.high), state

  def update(
    self, state: MirrorDescentState, plans: Array, returns: Array
  ) -> MirrorDescentState:
    if self.utility == "expected":
      coefficients, scale = expected_coefficients(returns)
      direction = weighted_mean(coefficients, plans - state.mean)
      return _gradient_step(state, direction, self.divergence, scale)
    state, plans, weights = weigh_in_state(state, self.utility, plans, returns, self.elites)
    if self.divergence == "euclidean":
      direction = weighted_mean(weights, plans) - state.mean
      return _gradient_step(state, direction, self.divergence)
    return _mixing_step(state, plans, weights, self.covariance)

  def shift(self, state: MirrorDescentState, steps: int) -> MirrorDescentState:
    initial = self._as_covariance(state.initial)
    full = self.covariance == "full"
    shifted = _shift_covariance(state.covariance, steps, state.mean.shape, full)
    zero = jnp.clip(0.0, state.low[-1], state.high[-1])
    return state._replace(
      mean=shift_plan(state.mean, steps, state.mean[-1] if self.tail == "repeat" else zero),
      covariance=(1 - state.forget) * shifted + state.forget * initial,
    )

  def _as_covariance(self, variances: Array) -> Array:
    """Returns ``variances [H, A]`` in the form of the state's covariance."""
    return jnp.diag(variances.ravel()) if self.covariance == "full" else variances


def _gradient_step(
  state: MirrorDescentState, direction: Array, divergence: str, scale: Array | float = 1.0
) -> MirrorDescentState:
  """Moves the mean along ``scale * direction [H, A]``, within the bounds."""
  if divergence == "euclidean":
    direction = direction / state.covariance
  mean = state.mean + scale_step(state.step_size, scale) * direction
  return state._replace(mean=jnp.clip(mean, state.low, state.high))


def _mixing_step(
  state: MirrorDescentState, plans: Array, weights: Array, covariance: str
) -> MirrorDescentState:
  """Takes the step that is linear in the mean parameters, see the module."""
  g = state.step_size
  mean = weighted_mean(weights, plans)
  updated = state._replace(mean=(1 - g) * state.mean + g * mean)
  if covariance == "fixed":
    return updated
  change = mean - state.mean
  if covariance == "diagonal":
    weighted = weighted_mean(weights, jnp.square(plans - mean))
    outer = jnp.square(change)
  else:
    centred = (plans - mean).reshape(len(plans), -1)
    weighted = jnp.einsum("k,ki,kj->ij", weights, centred, centred, precision=_HIGHEST)
    outer = jnp.outer(change, change)
  mixed = (1 - g) * state.covariance + g * weighted + g * (1 - g) * outer
  return updated._replace(covariance=mixed)


def _shift_covariance(
  covariance: Array, steps: int, shape: tuple[int, ...], full: bool
) -> Array:
  """Shifts the covariance in time; appended steps repeat the last one's, uncorrelated."""
  horizon, actions = shape
  if not full:
    return shift_plan(covariance, steps, covariance[-1])
  blocks = covariance.reshape(horizon, actions, horizon, actions)
  last = blocks[-1, :, -1, :]
  kept = max(horizon - steps, 0)
  shifted = jnp.zeros_like(blocks).at[:kept, :, :kept].set(blocks[steps:, :, steps:])
  appended = jnp.arange(kept, horizon)
  return shifted.at[appended, :, appended, :].set(last).reshape(covariance.shape)
