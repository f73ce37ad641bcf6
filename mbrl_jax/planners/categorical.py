"""Mirror descent over independent categoricals: MPC with discrete actions.

Each action is one of ``C`` levels, evenly spaced over its bounds: level ``c`` has the value
``low + c (high - low) / (C - 1)``. A task with bounds 0 to ``C - 1`` receives action indices, a
continuous task a grid of values.

With probabilities ``p``, step size ``g`` and weights ``w_i`` of the samples (see ``utility``),
level ``c`` has weight ``q_c = sum_i w_i [v_i = c]``; the step of ``mirror_descent`` becomes::

  kl:         p' = (1 - g) p + g q                  # linear in mean parameters
  euclidean:  log p' = log p + g (q - p) + const    # in logits: exponentiated gradient

The utility ``expected`` has ``sum_i c_i [v_i = c]``, which sums to zero over the levels, in
place of ``q - p``. A step in mean parameters could leave the simplex, so its step is in logits.

The mode is executed. The shift repeats the last step's probabilities and mixes the share
``forget`` of the uniform distribution into all of them, which restores levels whose probability
had vanished.

Source: Wagener, Cheng, Sacks and Boots 2019, "An Online Learning Approach to Model Predictive
Control"; the steps are derived here for the categorical.

Deviations:
  * ``forget`` is not in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.validate import ArgumentError, between, choice
from mbrl_jax.planners.mirror_descent import DIVERGENCES
from mbrl_jax.planners.search import fixed_sizes, shift_plan
from mbrl_jax.planners.utility import (
  Utility,
  check_utility,
  expected_coefficients,
  scale_step,
  weigh_in_state,
  weighted_mean,
)
from mbrl_jax.types import Array, Key, Search


class CategoricalState(NamedTuple):
  """State of the categorical search; its floats may be changed at any time.

  Attributes:
    probabilities: ``p``, ``[H, A, C]``; rows sum to one.
    low, high: values of the first and the last level, ``[H, A]``.
    step_size: ``g``, ``[]``.
    temperature: of the exponential utility, in units of return, ``[]``.
    ess_fraction: target effective sample size as a share of the samples, ``[]``; above 0 it
      sets the temperature in each update.
    forget: share of the uniform distribution that each shift mixes in, ``[]``.
    ess: effective sample size of the last update, ``1 / sum w^2``, ``[]``; the number of
      samples for the expected utility, which has no weights.
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
    step_size: ``g``, 0 to 1 for the kl divergence; 1 discards the warm start. Otherwise not
      negative, per unit of return for the expected utility.
    temperature: of the exponential utility, in units of return.
    ess_fraction: target effective sample size as a share of the samples, which sets the
      temperature; 0: the temperature is fixed.
    elites: plans with a weight under the threshold utility.
    forget: share of the uniform distribution that each shift mixes in, below 1.

  Raises:
    ValueError: unknown names, sizes that are not positive, shares out of range, the
      expected utility with the kl divergence.

  Example:
    >>> search = categorical(samples=200, categories=3)
    >>> state = search.init(jnp.zeros((2, 1)), jnp.full((2, 1), 2.0))
    >>> plans, state = search.sample(state, jax.random.key(0), 200)
    >>> state = search.update(state, plans, plans.sum((1, 2)))
    >>> search.mean(state).ravel().tolist()
    [2.0, 2.0]
  """
  method = _Categorical(
    samples, categories, utility, divergence, step_size, temperature, ess_fraction, elites,
    forget,
  )  # fmt: skip
  return Search(method.init, _sample, method.update, _mode, _shift, fixed_sizes(samples))


@dataclass(frozen=True)
class _Categorical:
  """The functions of the search that need its arguments; see ``categorical`` for those."""

  samples: int
  categories: int
  utility: str | Utility
  divergence: str
  step_size: float
  temperature: float
  ess_fraction: float
  elites: int
  forget: float

  def __post_init__(self) -> None:
    check_utility(
      self.utility,
      samples=self.samples,
      elites=self.elites,
      temperature=self.temperature,
      ess_fraction=self.ess_fraction,
    )
    choice("divergence", self.divergence, DIVERGENCES)
    between(2, float("inf"), categories=self.categories)
    # A share of 1 would leave nothing of the plan as a fallback.
    between(0.0, 0.99, forget=self.forget)
    between(0.0, 1.0 if self.divergence == "kl" else float("inf"), step_size=self.step_size)
    if self.utility == "expected" and self.divergence == "kl":
      raise ArgumentError(
        "divergence", self.divergence, "must be 'euclidean' with {}.", ("utility", self.utility)
      )

  def init(self, low: Array, high: Array) -> CategoricalState:
    shape, uniform = (*low.shape, self.categories), 1.0 / self.categories
    return CategoricalState(
      probabilities=jnp.full(shape, uniform, jnp.float32),
      low=low,
      high=high,
      step_size=jnp.asarray(self.step_size, jnp.float32),
      temperature=jnp.asarray(self.temperature, jnp.float32),
      ess_fraction=jnp.asarray(self.ess_fraction, jnp.float32),
      forget=jnp.asarray(self.forget, jnp.float32),
      ess=jnp.asarray(self.samples, jnp.float32),
    )

  def update(self, state: CategoricalState, plans: Array, returns: Array) -> CategoricalState:
    if self.utility == "expected":
      coefficients, scale = expected_coefficients(returns)
      return _logit_step(state, _level_weights(state, plans, coefficients), scale)
    state, plans, weights = weigh_in_state(state, self.utility, plans, returns, self.elites)
    q = _level_weights(state, plans, weights)
    if self.divergence == "euclidean":
      return _logit_step(state, q - state.probabilities)
    g = state.step_size
    return state._replace(probabilities=(1 - g) * state.probabilities + g * q)


def _sample(state: CategoricalState, key: Key, size: int) -> tuple[Array, CategoricalState]:
  # One random number per action, where jax.random.categorical draws one per level.
  edges = jnp.cumsum(state.probabilities, axis=-1)[..., :-1]
  uniform = jax.random.uniform(key, (size, *state.low.shape, 1), jnp.float32)
  return _level_values(state, jnp.sum(uniform >= edges, axis=-1)), state


def _mode(state: CategoricalState) -> Array:
  """Returns the most probable levels ``[H, A]``; of equal ones, the nearest to the middle."""
  categories = state.probabilities.shape[-1]
  distance = jnp.abs(jnp.arange(categories, dtype=jnp.float32) - (categories - 1) / 2)
  return _level_values(state, jnp.argmax(state.probabilities - 1e-6 * distance, axis=-1))


def _shift(state: CategoricalState, steps: int) -> CategoricalState:
  categories = state.probabilities.shape[-1]
  flat = state.probabilities.reshape(len(state.low), -1)
  shifted = shift_plan(flat, steps, flat[-1]).reshape(state.probabilities.shape)
  mixed = (1 - state.forget) * shifted + state.forget / categories
  return state._replace(probabilities=mixed)


def _level_values(state: CategoricalState, levels: Array) -> Array:
  """Returns the actions ``[..., H, A]`` of levels, integers from 0."""
  gap = (state.high - state.low) / (state.probabilities.shape[-1] - 1)
  return jnp.clip(state.low + levels * gap, state.low, state.high)


def _level_weights(state: CategoricalState, plans: Array, weights: Array) -> Array:
  """Sums the weights ``[K]`` of ``plans [K, H, A]`` by level: ``[H, A, C]``.

  An action between two levels (of a proposal) counts for the nearer one.
  """
  categories = state.probabilities.shape[-1]
  position = (plans - state.low) / (state.high - state.low)
  levels = jnp.round(position * (categories - 1)).astype(jnp.int32)
  return weighted_mean(weights, jax.nn.one_hot(levels, categories, dtype=jnp.float32))


def _logit_step(
  state: CategoricalState, direction: Array, scale: Array | float = 1.0
) -> CategoricalState:
  """Moves the logits along ``scale * direction [H, A, C]``."""
  step = scale_step(state.step_size, scale) * direction
  # Far enough for other levels to vanish, but finite: infinite logits would give NaN.
  logits = jnp.log(state.probabilities) + jnp.clip(step, -1e30, 1e30)
  return state._replace(probabilities=jax.nn.softmax(logits))
