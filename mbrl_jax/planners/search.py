"""Operations that several searches share: the warm start, the best plan, the mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from mbrl_jax.types import Array


def shift_plan(plan: Array, steps: int, tail: Array) -> Array:
  """Drops the first ``steps`` actions of ``plan [H, A]`` and appends ``tail [A]``."""
  steps = min(steps, len(plan))  # a plan of a few knots may be shorter
  kept = plan[steps:]
  return jnp.concatenate([kept, jnp.broadcast_to(tail, (steps, plan.shape[1]))])


def keep_best(state: Any, plans: Array, returns: Array) -> Any:
  """Replaces ``state.plan`` and ``state.value`` where a plan has a higher return.

  Args:
    state: of a search, with the fields ``plan [H, A]`` and ``value []``.
    plans: ``[N, H, A]``.
    returns: ``[N]``.
  """
  best = jnp.argmax(returns)
  better = returns[best] > state.value
  return state._replace(
    plan=jnp.where(better, plans[best], state.plan),
    value=jnp.where(better, returns[best], state.value),
  )


def best_plan(state: Any) -> Array:
  """Returns ``state.plan [H, A]``."""
  return state.plan


def clipped_mean(state: Any) -> Array:
  """Returns ``state.mean [H, A]`` clipped to the bounds.

  The mean of samples that lie on a bound may exceed it by rounding.
  """
  return jnp.clip(state.mean, state.low, state.high)


def fixed_sizes(samples: int) -> Callable[[int], tuple[int, ...]]:
  """Makes ``Search.sizes`` of a search that draws ``samples`` plans in every iteration."""
  return lambda iterations: (samples,) * iterations
