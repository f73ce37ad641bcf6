"""Dynamic mirror descent MPC: one mirror-descent step on a Gaussian over plans.

With the shifted distribution ``N(u, S)``, step size ``g`` and weights ``w_i`` of the samples
``v_i``, a step in mean parameters (first and second moment) under the KL divergence is::

  u' = (1 - g) u + g sum_i w_i v_i
  S' = (1 - g) S + g S_w + g (1 - g) (u_w - u) (u_w - u)^T

where ``u_w`` and ``S_w`` are the weighted mean and covariance of the samples. The weights
come from the utility: ``exponential`` (softmax of the return over a temperature; with ``g = 1``
this is MPPI), ``threshold`` (the elites alike; with ``g = 1`` this is the cross-entropy method)
or a function of the user's. The utility ``expected`` has no weights: its step is stochastic
gradient ascent on the expected return, ``u' = u + g mean_i (R_i - mean R) (v_i - u)``, the
covariance staying as it is.

Source: Wagener, Cheng, Sacks and Boots 2019, "An Online Learning Approach to Model Predictive
Control"; the step is derived here for the Gaussian, and its covariance tested against the
second moment.

Deviations:
  * The shift model also pulls the covariance back to the initial one by the share ``forget``;
    without it a learnt covariance only ever shrinks.
  * Samples are clipped to the bounds, and the moments are those of the clipped samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.validate import between, choice, positive
from mbrl_jax.planners.mppi import temperature_for
from mbrl_jax.planners.search import shift_plan
from mbrl_jax.types import Array, Key, Search

UTILITIES = ("exponential", "threshold", "expected")
COVARIANCES = ("fixed", "diagonal", "full")
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
    effective: wanted effective sample size as a share of the samples, ``[]``; above 0 it
      sets the temperature anew in each update.
    forget: share of the initial covariance that each shift brings back, ``[]``.
  """

  mean: Array
  covariance: Array
  low: Array
  high: Array
  initial: Array
  step_size: Array
  temperature: Array
  effective: Array
  forget: Array


Utility = Callable[[Array], Array]
"""``(returns [N]) -> weights [N]``, not negative; 0 where the return is -inf."""


def mirror_descent(
  samples: int = 128,
  *,
  utility: str | Utility = "exponential",
  covariance: str = "fixed",
  step_size: float = 1.0,
  temperature: float = 1.0,
  effective: float = 0.05,
  elites: int = 12,
  spread: float = 0.5,
  forget: float = 1.0,
) -> Search:
  """Makes the mirror-descent search.

  Args:
    samples: ``N``, plans per iteration.
    utility: ``"exponential"``, ``"threshold"``, ``"expected"`` or a function.
    covariance: ``"fixed"``, ``"diagonal"`` or ``"full"`` (over the whole plan).
    step_size: ``g``, 0 to 1 but for the expected utility; 1 forgets the warm start.
    temperature: of the exponential utility, in units of return.
    effective: share of the samples that the effective sample size should be, which
      then sets the temperature; 0: the temperature stays.
    elites: plans that the threshold utility keeps.
    spread: initial deviation as a share of half the action range.
    forget: share of the initial covariance that each control step brings back.

  Raises:
    ValueError: unknown names, sizes that are not positive, shares outside 0 to 1, the
      expected utility with a covariance that is not fixed.
  """
  if not callable(utility):
    choice("utility", utility, UTILITIES)
  choice("covariance", covariance, COVARIANCES)
  positive(samples=samples, elites=elites, temperature=temperature, spread=spread)
  between(0.0, 1.0, effective=effective, forget=forget)
  if utility == "expected" and covariance != "fixed":
    raise ValueError(
      f"utility='expected' moves the mean only: covariance must be 'fixed', got {covariance!r}."
    )
  between(0.0, float("inf") if utility == "expected" else 1.0, step_size=step_size)
  if elites > samples:
    raise ValueError(f"elites={elites} exceed samples={samples}.")
  full = covariance == "full"

  def init(low: Array, high: Array) -> MirrorDescentState:
    initial = jnp.square(spread * (high - low) / 2)
    floats = [jnp.asarray(x, jnp.float32) for x in (step_size, temperature, effective, forget)]
    start = jnp.diag(initial.ravel()) if full else initial
    return MirrorDescentState((low + high) / 2, start, low, high, initial, *floats)

  def sample(state: MirrorDescentState, key: Key, size: int) -> Array:
    noise = jax.random.normal(key, (size, *state.mean.shape))
    if full:
      jitter = jnp.diag(_JITTER * state.initial.ravel())
      factor = jnp.linalg.cholesky(state.covariance + jitter)
      noise = (noise.reshape(size, -1) @ factor.T).reshape(noise.shape)
    else:
      noise = jnp.sqrt(state.covariance) * noise
    return jnp.clip(state.mean + noise, state.low, state.high)

  def update(state: MirrorDescentState, plans: Array, returns: Array) -> MirrorDescentState:
    if utility == "expected":
      return state._replace(mean=_ascend(state, plans, returns))
    return _descend(*_weigh(state, plans, returns, utility, elites), covariance)

  def shift(state: MirrorDescentState, steps: int) -> MirrorDescentState:
    initial = jnp.diag(state.initial.ravel()) if full else state.initial
    kept = _shift_covariance(state.covariance, steps, state.mean.shape, full)
    return state._replace(
      mean=shift_plan(state.mean, steps, state.mean[-1]),
      covariance=(1 - state.forget) * kept + state.forget * initial,
    )

  return Search(init, sample, update, lambda state: state.mean, shift, lambda n: (samples,) * n)


def _weigh(
  state: MirrorDescentState,
  plans: Array,
  returns: Array,
  utility: str | Utility,
  elites: int,
) -> tuple[MirrorDescentState, Array, Array]:
  """Returns the state, the plans that count and their weights, which sum to one."""
  if utility == "threshold":
    values, indices = jax.lax.top_k(returns, elites)
    return state, plans[indices], _normalise((values > -jnp.inf).astype(plans.dtype))
  if utility == "exponential":
    found = temperature_for(returns, jnp.maximum(state.effective, 1e-6))
    lam = jnp.where(state.effective > 0, found, state.temperature)
    return state._replace(temperature=lam), plans, jax.nn.softmax(returns / lam)
  return state, plans, _normalise(jnp.where(returns > -jnp.inf, utility(returns), 0.0))


def _normalise(weights: Array) -> Array:
  return weights / jnp.maximum(weights.sum(), 1e-30)


def _ascend(state: MirrorDescentState, plans: Array, returns: Array) -> Array:
  """Returns the mean after one step of stochastic gradient ascent, within the bounds."""
  finite = returns > -jnp.inf
  count = jnp.maximum(finite.sum(), 1)
  returns = jnp.where(finite, returns, 0.0)
  centred = jnp.where(finite, returns - returns.sum() / count, 0.0)
  gradient = jnp.einsum("n,nha->ha", centred, plans - state.mean) / count
  return jnp.clip(state.mean + state.step_size * gradient, state.low, state.high)


def _descend(
  state: MirrorDescentState, plans: Array, weights: Array, covariance: str
) -> MirrorDescentState:
  """Takes the step in mean parameters, see the module."""
  g = state.step_size
  mean = jnp.einsum("k,kha->ha", weights, plans)
  moved = state._replace(mean=(1 - g) * state.mean + g * mean)
  if covariance == "fixed":
    return moved
  jump = mean - state.mean
  if covariance == "diagonal":
    spread = jnp.einsum("k,kha->ha", weights, jnp.square(plans - mean))
    outer = jnp.square(jump)
  else:
    rows = (plans - mean).reshape(len(plans), -1)
    spread = jnp.einsum("k,ki,kj->ij", weights, rows, rows)
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
  moved = (
    jnp.zeros_like(blocks)
    .at[: horizon - steps, :, : horizon - steps]
    .set(blocks[steps:, :, steps:])
  )
  new = jnp.arange(horizon - steps, horizon)
  return moved.at[new, :, new, :].set(last).reshape(covariance.shape)
