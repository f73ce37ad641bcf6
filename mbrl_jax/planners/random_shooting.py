"""Random shooting: the best of uniformly drawn plans.

Source: Nagabandi et al. 2017 (MBMF); the baseline of Chua et al. 2018.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.validate import positive
from mbrl_jax.planners.search import shift_plan
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
  """Makes a search that draws plans uniformly within the bounds.

  It has no warm start; more than one iteration draws afresh and keeps the best.

  Args:
    samples: ``N``, plans per iteration.
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
    best = jnp.argmax(returns)
    better = returns[best] > state.value
    return state._replace(
      plan=jnp.where(better, plans[best], state.plan),
      value=jnp.where(better, returns[best], state.value),
    )

  def shift(state: RandomShootingState, steps: int) -> RandomShootingState:
    # The plan is kept only to fall back on when no new plan has a finite return.
    plan = shift_plan(state.plan, steps, (state.low[-1] + state.high[-1]) / 2)
    return state._replace(plan=plan, value=jnp.float32(-jnp.inf))

  return Search(init, sample, update, lambda state: state.plan, shift, lambda n: (samples,) * n)
