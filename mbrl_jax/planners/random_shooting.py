"""Random shooting: the best of uniformly sampled plans.

Source: Nagabandi et al. 2017 (MBMF); the baseline of Chua et al. 2018.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.validate import positive
from mbrl_jax.planners.search import best_plan, fixed_sizes, keep_best, shift_plan
from mbrl_jax.types import Array, Key, Search


class RandomShootingState(NamedTuple):
  """State of random shooting.

  Attributes:
    plan: the best plan of this replan, ``[H, A]``.
    value: its return, ``[]``.
    low, high: bounds, ``[H, A]``.
  """

  plan: Array
  value: Array
  low: Array
  high: Array


def random_shooting(samples: int = 2000) -> Search:
  """Makes a search that samples plans uniformly within the bounds.

  It has no warm start; every iteration samples new plans, and the best of all is kept.

  Args:
    samples: ``N``, plans per iteration.

  Example:
    >>> search = random_shooting(samples=500)
    >>> state = search.init(jnp.full((2, 1), -1.0), jnp.full((2, 1), 1.0))
    >>> plans, state = search.sample(state, jax.random.key(0), 500)
    >>> state = search.update(state, plans, -jnp.abs(plans - 0.5).sum((1, 2)))
    >>> bool(jnp.all(jnp.abs(search.mean(state) - 0.5) < 0.1))
    True
  """
  positive(samples=samples)

  def init(low: Array, high: Array) -> RandomShootingState:
    return RandomShootingState(
      plan=(low + high) / 2, value=jnp.float32(-jnp.inf), low=low, high=high
    )

  def sample(
    state: RandomShootingState, key: Key, size: int
  ) -> tuple[Array, RandomShootingState]:
    shape = size, *state.low.shape
    return jax.random.uniform(key, shape, jnp.float32, state.low, state.high), state

  def update(state: RandomShootingState, plans: Array, returns: Array) -> RandomShootingState:
    return keep_best(state, plans, returns)

  def shift(state: RandomShootingState, steps: int) -> RandomShootingState:
    # The plan is kept only as a fallback, for when no new plan has a finite return.
    plan = shift_plan(state.plan, steps, (state.low[-1] + state.high[-1]) / 2)
    return state._replace(plan=plan, value=jnp.float32(-jnp.inf))

  return Search(init, sample, update, best_plan, shift, fixed_sizes(samples))
