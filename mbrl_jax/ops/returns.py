"""Discounted returns and advantages of one trajectory, time-major ``[T]``.

With rewards ``r_t``, values ``V_t = V(s_t)`` and ``V'_t = V(s_{t+1})``, discount ``gamma`` and
``lambda``::

  R_t     = r_t + gamma (1 - ended_t) R_{t+1}
  delta_t = r_t + gamma (1 - terminated_t) V'_t - V_t
  A_t     = delta_t + gamma lambda (1 - ended_t) A_{t+1}
  G_t     = A_t + V_t

``ended`` means terminated or truncated: the recursion stops there, but only a termination has
no value after it. ``V'_t`` is the value of ``next_obs``, as observed before any reset, so a
trajectory may hold several episodes in a row. The last step counts as truncated. Invalid steps
(padding), whatever they contain, give 0 and stop the recursion, too.

Batch with ``jax.vmap``.

Sources: Schulman et al. 2016, "High-dimensional continuous control using generalized advantage
estimation", equations 11 to 16; Sutton and Barto 2018, section 12.1 (the lambda-return).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mbrl_jax.types import Array


def discounted_returns(
  rewards: Array, ended: Array, discount: Array | float, valid: Array | None = None
) -> Array:
  """Returns the discounted sums ``R_t [T]`` of future rewards, without bootstrapping.

  Args:
    rewards: ``[T]``.
    ended: ``[T]`` bool, the episode's last step.
    discount: ``gamma``, ``[]``.
    valid: ``[T]`` bool; ``None``: all steps are.

  Example:
    >>> ended = jnp.array([False, True, False])
    >>> discounted_returns(jnp.array([1.0, 2.0, 4.0]), ended, 0.5).tolist()
    [2.0, 2.0, 4.0]
  """
  return _backward_sums(rewards, ended, discount, valid)


def generalized_advantages(
  rewards: Array,
  values: Array,
  next_values: Array,
  terminated: Array,
  truncated: Array,
  valid: Array | None = None,
  *,
  discount: Array | float,
  lam: Array | float,
) -> Array:
  """Returns the generalised advantage estimates ``A_t [T]``.

  Args:
    rewards: ``[T]``.
    values: ``V_t [T]`` of the observations.
    next_values: ``V'_t [T]`` of the observations after each step and before any reset;
      ignored, and possibly non-finite, where terminated.
    terminated: ``[T]`` bool, the task ended.
    truncated: ``[T]`` bool, the episode was cut short, such as by a time limit.
    valid: ``[T]`` bool; ``None``: all steps are.
    discount: ``gamma``, ``[]``.
    lam: ``lambda``, ``[]``: 0 for one-step temporal differences, 1 for returns minus values.

  Example:
    >>> values, no = jnp.array([0.5, 0.5]), jnp.zeros(2, bool)
    >>> end = jnp.array([False, True])
    >>> of = lambda terminated, truncated: generalized_advantages(
    ...   jnp.ones(2), values, values, terminated, truncated, discount=1.0, lam=1.0
    ... ).tolist()
    >>> of(end, no), of(no, end)  # bootstrapped where truncated
    ([1.5, 0.5], [2.0, 1.0])
  """
  after = discount * jnp.where(terminated, 0.0, next_values)
  errors = rewards + after - values
  return _backward_sums(errors, terminated | truncated, discount * lam, valid)


def lambda_returns(
  rewards: Array,
  values: Array,
  next_values: Array,
  terminated: Array,
  truncated: Array,
  valid: Array | None = None,
  *,
  discount: Array | float,
  lam: Array | float,
) -> Array:
  """Returns the lambda-returns ``G_t [T]``, 0 where invalid; arguments as above.

  With ``lam=1`` these are the discounted returns, bootstrapped where truncated.

  Example:
    >>> ends = jnp.array([False, True]), jnp.zeros(2, bool)
    >>> values, after = jnp.array([7.0, 5.0]), jnp.array([5.0, 9.0])
    >>> lambda_returns(jnp.ones(2), values, after, *ends, discount=0.5, lam=0.0).tolist()
    [3.5, 1.0]
  """
  advantages = generalized_advantages(
    rewards, values, next_values, terminated, truncated, valid, discount=discount, lam=lam
  )
  total = advantages + values
  return total if valid is None else jnp.where(valid, total, 0.0)


def _backward_sums(
  terms: Array, ended: Array, discount: Array | float, valid: Array | None
) -> Array:
  """Returns ``y_t = x_t + discount (1 - ended_t) y_{t+1}``, 0 where invalid."""
  valid = jnp.ones_like(ended) if valid is None else valid
  terms = jnp.where(valid, terms, 0.0).astype(jnp.float32)
  weights = jnp.where(ended | ~valid, 0.0, discount).astype(jnp.float32)

  def body(after: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
    term, weight = step
    total = term + weight * after
    return total, total

  return jax.lax.scan(body, jnp.zeros((), jnp.float32), (terms, weights), reverse=True)[1]
