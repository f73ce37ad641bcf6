"""The iterations of a planner: sample plans, score them, update the search.

A fixed number of iterations is one ``scan``; with a tolerance it is a ``while_loop`` bounded
by that number. Each iteration has its own key.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.ops.key_stream import is_key
from mbrl_jax.types import Array, Key, Search

ScoreFn = Callable[[Array, Key], Array]
"""``(plans [N, H, A], key) -> returns [N]``."""


class SearchProgress(NamedTuple):
  """Carry of the iterations.

  Attributes:
    search: the search's state.
    value: best return so far, -inf without one, ``[]``.
    nonfinite: plans without a finite return, ``[]`` int32.
    refused: updates that were not finite, ``[]`` int32.
    iterations: iterations that changed the search, ``[]`` int32.
    mean_change: largest change of the mean in the last iteration, as a share of the action
      range, ``[]``.
  """

  search: Any
  value: Array
  nonfinite: Array
  refused: Array
  iterations: Array
  mean_change: Array


def optimize(
  search: Search,
  score: ScoreFn,
  proposed: Array,
  start: Any,
  keys: Key,
  *,
  action_range: Array,
  tolerance: Array | None = None,
) -> SearchProgress:
  """Runs at most one iteration for each key.

  The search keeps its state where no plan of an iteration has a finite return, and where an
  update would make a finite number non-finite, since no later update could repair it.

  Args:
    search: the search.
    score: ``(plans [N, H, A], key) -> returns [N]``.
    proposed: plans ``[M, H, A]`` that compete in every iteration.
    start: the search's initial state.
    keys: one for each iteration.
    action_range: ``high - low``, ``[A]``.
    tolerance: stop after an iteration that changed no action of the mean by more than
      this share of the range; ``None``: run them all.
  """

  def iterate(progress: SearchProgress, key: Key, size: int) -> SearchProgress:
    return _iterate(search, score, proposed, action_range, progress, key, size)

  zero = jnp.zeros((), jnp.int32)
  inf = jnp.asarray(jnp.inf, jnp.float32)
  progress, begin = SearchProgress(start, -inf, zero, zero, zero, inf), 0
  # Equal sizes share one compiled loop; a decaying population has one each.
  for size, group in itertools.groupby(search.sizes(len(keys))):
    end = begin + len(list(group))
    body = lambda progress, key, size=size: iterate(progress, key, size)
    progress = _loop(body, progress, keys[begin:end], tolerance)
    begin = end
  return progress


def _iterate(
  search: Search,
  score: ScoreFn,
  proposed: Array,
  action_range: Array,
  progress: SearchProgress,
  key: Key,
  size: int,
) -> SearchProgress:
  """Runs one iteration, which samples ``size`` plans."""
  sample_key, score_key = jax.random.split(key)
  sampled, state = search.sample(progress.search, sample_key, size)
  plans = jnp.concatenate([sampled, proposed])
  returns, *gradients = _score(search, score, plans, score_key)
  finite = jnp.isfinite(returns)
  usable = jnp.where(finite, returns, -jnp.inf)
  updated = search.update(state, plans, usable, *gradients)
  valid = _stays_finite(updated, progress.search)
  accept = lambda new, old: jnp.where(finite.any() & valid, new, old)
  state = jax.tree.map(accept, updated, progress.search)
  change = jnp.abs(search.mean(state) - search.mean(progress.search))
  return SearchProgress(
    search=state,
    value=jnp.maximum(progress.value, jnp.max(usable)),
    nonfinite=progress.nonfinite + jnp.sum(~finite, dtype=jnp.int32),
    refused=progress.refused + (finite.any() & ~valid),
    iterations=progress.iterations + _any_changed(state, progress.search),
    mean_change=jnp.max(change / action_range),
  )


def _score(search: Search, score: ScoreFn, plans: Array, key: Key) -> tuple[Array, ...]:
  """Returns the returns ``[N]`` and, if the search takes gradients, those ``[N, H, A]``."""
  if not search.gradients:
    return (score(plans, key),)
  returns, vjp = jax.vjp(lambda plans: score(plans, key), plans)
  # Plans are scored independently, so the gradient of the sum holds that of each return.
  (gradients,) = vjp(jnp.ones_like(returns))
  return returns, jnp.where(jnp.isfinite(gradients), gradients, 0.0)


def _stays_finite(new: Any, old: Any) -> Array:
  """Returns whether every number that was finite still is, ``[]``; some start infinite."""
  pairs = zip(_numeric_leaves(new), _numeric_leaves(old), strict=True)
  return jnp.all(jnp.stack([jnp.all(jnp.isfinite(a) | ~jnp.isfinite(b)) for a, b in pairs]))


def _any_changed(new: Any, old: Any) -> Array:
  """Returns whether any number of two states differs, ``[]``."""
  pairs = zip(_numeric_leaves(new), _numeric_leaves(old), strict=True)
  return jnp.any(jnp.stack([jnp.any(a != b) for a, b in pairs]))


def _numeric_leaves(state: Any) -> list[Array]:
  """Returns the leaves of a state, keys as their bits."""
  leaves = jax.tree.leaves(state)
  return [jax.random.key_data(leaf) if is_key(leaf) else leaf for leaf in leaves]


def _loop(
  body: Callable[[SearchProgress, Key], SearchProgress],
  progress: SearchProgress,
  keys: Key,
  tolerance: Array | None,
) -> SearchProgress:
  """Runs ``body`` once for each key, or until the mean has converged."""
  if tolerance is None:
    scan_body = lambda progress, key: (body(progress, key), None)
    return jax.lax.scan(scan_body, progress, keys)[0]

  def running(carry: tuple[Array, SearchProgress]) -> Array:
    done, progress = carry
    return (done < len(keys)) & (progress.mean_change > tolerance)

  step = lambda carry: (carry[0] + 1, body(carry[1], keys[carry[0]]))
  return jax.lax.while_loop(running, step, (jnp.zeros((), jnp.int32), progress))[1]
