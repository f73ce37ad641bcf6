"""Mirror descent over independent categoricals: MPC with discrete actions.

Each action is one of ``C`` levels that are evenly spaced over its bounds: level ``c`` has the
value ``low + c (high - low) / (C - 1)``. A task with bounds 0 to ``C - 1`` is given the numbers
of its actions, a continuous task a grid of values.

With probabilities ``p``, step size ``g`` and weights ``w_i`` of the samples (see ``utility``),
level ``c`` has the share ``q_c = sum_i w_i [v_i = c]``; ``mirror_descent``'s step becomes::

  kl:         p' = (1 - g) p + g q                  # linear in mean parameters
  euclidean:  log p' = log p + g (q - p) + const    # in logits: exponentiated gradient

The utility ``expected`` has ``sum_i c_i [v_i = c]``, which sums to zero over the levels, in
place of ``q - p``. As its step in mean parameters could leave the simplex, it takes that in
logits.

The mode is executed. The shift repeats the last step's probabilities and pulls all of them
towards uniform by the share ``forget``, which brings back levels that had died out.

Source: Wagener, Cheng, Sacks and Boots 2019, "An Online Learning Approach to Model Predictive
Control"; the steps are derived here for the categorical.

Deviations:
  * ``forget`` is ours.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.validate import ArgumentError, between, choice
from mbrl_jax.planners.mirror_descent import DIVERGENCES
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


class CategoricalState(NamedTuple):
  """State of the categorical search; its floats may be changed at any time.

  Attributes:
    probabilities: ``p``, ``[H, A, C]``; rows sum to one.
    low, high: values of the first and the last level, ``[H, A]``.
    step_size: ``g``, ``[]``.
    temperature: of the exponential utility, in units of return, ``[]``.
    ess_fraction: wanted effective sample size as a share of the samples, ``[]``; above 0 it
      sets the temperature anew in each update.
    forget: share of the uniform distribution that each shift brings back, ``[]``.
    ess: effective sample size of the last update, ``1 / sum w^2``, ``[]``; of the expected
      utility, which has no weights, all samples.
  """

  probabilities: Array
  low: Array
  high: Array
  step_size: Array
  temperature: Array
  ess_fraction: Array
  forget: Array
  ess: Array


def categorical(
  samples: int = 128,
  *,
  categories: int = 11,
  utility: str | Utility = "exponential",
  divergence: str = "kl",
  step_size: float = 0.7,
  temperature: float = 1.0,
  ess_fraction: float = 0.05,
  elites: int = 12,
  forget: float = 0.3,
) -> Search:
  """Makes the mirror-descent search over discrete actions.

  Args:
    samples: ``N``, plans per iteration.
    categories: ``C``, levels of every action, at least 2.
    utility: ``"exponential"``, ``"threshold"``, ``"expected"`` or a function.
    divergence: ``"kl"`` or ``"euclidean"``.
    step_size: ``g``, 0 to 1 where the divergence is kl; 1 forgets the warm start. Otherwise
      any, per unit of return where the utility is expected.
    temperature: of the exponential utility, in units of return.
    ess_fraction: share of the samples that the effective sample size should be, which
      then sets the temperature; 0: the temperature stays.
    elites: plans that the threshold utility keeps.
    forget: share of the uniform distribution that each control step brings back, below 1.

  Raises:
    ValueError: unknown names, sizes that are not positive, shares out of range, the
      expected utility under kl.
  """
  check_utility(
    utility, samples=samples, elites=elites, temperature=temperature, ess_fraction=ess_fraction
  )
  choice("divergence", divergence, DIVERGENCES)
  between(2, float("inf"), categories=categories)
  # All of it would leave nothing of the plan to fall back on.
  between(0.0, 0.99, forget=forget)
  between(0.0, 1.0 if divergence == "kl" else float("inf"), step_size=step_size)
  if utility == "expected" and divergence == "kl":
    raise ArgumentError(
      "divergence", divergence, "must be 'euclidean' with {}.", ("utility", utility)
    )

  def init(low: Array, high: Array) -> CategoricalState:
    return CategoricalState(
      probabilities=jnp.full((*low.shape, categories), 1.0 / categories, jnp.float32),
      low=low,
      high=high,
      step_size=jnp.asarray(step_size, jnp.float32),
      temperature=jnp.asarray(temperature, jnp.float32),
      ess_fraction=jnp.asarray(ess_fraction, jnp.float32),
      forget=jnp.asarray(forget, jnp.float32),
      ess=jnp.asarray(samples, jnp.float32),
    )

  def sample(state: CategoricalState, key: Key, size: int) -> tuple[Array, CategoricalState]:
    # One number a draw, where jax.random.categorical takes one for every level.
    edges = jnp.cumsum(state.probabilities, axis=-1)[..., :-1]
    drawn = jax.random.uniform(key, (size, *state.low.shape, 1), jnp.float32)
    return _values(state, jnp.sum(drawn >= edges, axis=-1)), state

  def update(state: CategoricalState, plans: Array, returns: Array) -> CategoricalState:
    if utility == "expected":
      coefficients, unit = centre(returns)
      return _tilt(state, _shares(state, plans, coefficients), unit)
    floats = {"temperature": state.temperature, "ess_fraction": state.ess_fraction}
    plans, weights, temperature = weigh(utility, plans, returns, elites=elites, **floats)
    state = state._replace(temperature=temperature, ess=effective_size(weights))
    shares = _shares(state, plans, weights)
    if divergence == "euclidean":
      return _tilt(state, shares - state.probabilities)
    g = state.step_size
    return state._replace(probabilities=(1 - g) * state.probabilities + g * shares)

  def mean(state: CategoricalState) -> Array:
    # Among equals the one nearest to the middle: where nothing is known, the gentlest.
    distance = jnp.abs(jnp.arange(categories, dtype=jnp.float32) - (categories - 1) / 2)
    return _values(state, jnp.argmax(state.probabilities - 1e-6 * distance, axis=-1))

  def shift(state: CategoricalState, steps: int) -> CategoricalState:
    rows = state.probabilities.reshape(len(state.low), -1)
    kept = shift_plan(rows, steps, rows[-1]).reshape(state.probabilities.shape)
    mixed = (1 - state.forget) * kept + state.forget / categories
    return state._replace(probabilities=mixed)

  return Search(init, sample, update, mean, shift, lambda n: (samples,) * n)


def _values(state: CategoricalState, levels: Array) -> Array:
  """Returns the actions ``[..., H, A]`` of levels, which are integers from 0."""
  gap = (state.high - state.low) / (state.probabilities.shape[-1] - 1)
  return jnp.clip(state.low + levels * gap, state.low, state.high)


def _shares(state: CategoricalState, plans: Array, weights: Array) -> Array:
  """Adds up the weights ``[K]`` of ``plans [K, H, A]`` by level: ``[H, A, C]``.

  A plan between two levels (a proposal) counts for the nearer one.
  """
  categories = state.probabilities.shape[-1]
  place = (plans - state.low) / (state.high - state.low)
  levels = jnp.round(place * (categories - 1)).astype(jnp.int32)
  return average(weights, jax.nn.one_hot(levels, categories, dtype=jnp.float32))


def _tilt(
  state: CategoricalState, direction: Array, unit: Array | float = 1.0
) -> CategoricalState:
  """Moves the logits along ``direction [H, A, C]``, which is in units of ``unit``."""
  step = product(state.step_size, unit) * direction
  # So far that nothing is left of other levels, and not to infinity, whose share is none.
  logits = jnp.log(state.probabilities) + jnp.clip(step, -1e30, 1e30)
  return state._replace(probabilities=jax.nn.softmax(logits))
