"""The iterations of a planner: ask the search for plans, score them, tell it.

A fixed number of iterations is one ``scan``; with a tolerance it is a ``while`` bounded by
that number. Each iteration has its own key.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.planners.dynamics_contract import is_key
from mbrl_jax.types import Array, Key, Search


class SearchProgress(NamedTuple):
  """What iterating carries along.

  Attributes:
    search: the search's state.
    value: best return so far, -inf without one, ``[]``.
    nonfinite: plans that had no finite return, ``[]`` int32.
    refused: updates that were not finite, ``[]`` int32.
    iterations: iterations that changed the search, ``[]`` int32.
    moved: how far the last iteration moved the mean at most, as a share of the range ``[]``.
  """

  search: Any
  value: Array
  nonfinite: Array
  refused: Array
  iterations: Array
  moved: Array


def improve(
  search: Search,
  score: Callable[[Array, Key], Array],
  proposed: Array,
  start: Any,
  keys: Key,
  *,
  span: Array,
  tolerance: Array | None = None,
) -> SearchProgress:
  """Runs at most one iteration for each key.

  Where no plan of an iteration has a finite return the search stays as it was; so it does
  where its update makes a number not finite, which no later update could mend.

  Args:
    search: the search.
    score: ``(plans [N, H, A], key) -> returns [N]``.
    proposed: plans ``[M, H, A]`` that compete in every iteration.
    start: the search's state.
    keys: one for each iteration.
    span: the action range, ``[A]``.
    tolerance: stop after an iteration that moved no action of the mean by more than
      this share of the range; ``None``: do them all.
  """

  def iterate(now: SearchProgress, key: Key, size: int) -> SearchProgress:
    sample_key, score_key = jax.random.split(key)
    sampled, asked = search.sample(now.search, sample_key, size)
    plans = jnp.concatenate([sampled, proposed])
    returns, *gradients = _score(search, score, plans, score_key)
    finite = jnp.isfinite(returns)
    usable = jnp.where(finite, returns, -jnp.inf)
    updated = search.update(asked, plans, usable, *gradients)
    sound = _is_sound(updated, now.search)
    keep = lambda new, old: jnp.where(finite.any() & sound, new, old)
    state = jax.tree.map(keep, updated, now.search)
    step = jnp.abs(search.mean(state) - search.mean(now.search))
    return SearchProgress(
      search=state,
      value=jnp.maximum(now.value, jnp.max(usable)),
      nonfinite=now.nonfinite + jnp.sum(~finite, dtype=jnp.int32),
      refused=now.refused + (finite.any() & ~sound),
      iterations=now.iterations + _differ(state, now.search),
      moved=jnp.max(step / span),
    )

  none = jnp.zeros((), jnp.int32)
  endless = jnp.asarray(jnp.inf, jnp.float32)
  now, begin = SearchProgress(start, -endless, none, none, none, endless), 0
  # Equal sizes share one compiled loop; a decaying population has one each.
  for size, group in itertools.groupby(search.sizes(len(keys))):
    end = begin + len(list(group))
    body = lambda now, key, size=size: iterate(now, key, size)
    now = _repeat(body, now, keys[begin:end], tolerance)
    begin = end
  return now


def _score(
  search: Search, score: Callable[[Array, Key], Array], plans: Array, key: Key
) -> tuple[Array, ...]:
  """Returns the returns ``[N]`` and, for a search that wants them, their gradients."""
  if not search.gradients:
    return (score(plans, key),)
  returns, pull_back = jax.vjp(lambda plans: score(plans, key), plans)
  # Plans do not see each other, so the gradient of the sum holds that of each return.
  (gradients,) = pull_back(jnp.ones_like(returns))
  return returns, jnp.where(jnp.isfinite(gradients), gradients, 0.0)


def _is_sound(new: Any, old: Any) -> Array:
  """Tells whether all numbers that were finite still are, ``[]``; some begin as infinities."""
  pairs = zip(_numbers(new), _numbers(old), strict=True)
  return jnp.all(jnp.stack([jnp.all(jnp.isfinite(a) | ~jnp.isfinite(b)) for a, b in pairs]))


def _differ(new: Any, old: Any) -> Array:
  """Tells whether any number of two states differs, ``[]``."""
  pairs = zip(_numbers(new), _numbers(old), strict=True)
  return jnp.any(jnp.stack([jnp.any(a != b) for a, b in pairs]))


def _numbers(state: Any) -> list[Array]:
  """Returns the leaves of a state, keys as their bits."""
  leaves = jax.tree.leaves(state)
  return [jax.random.key_data(leaf) if is_key(leaf) else leaf for leaf in leaves]


def _repeat(
  body: Callable[[SearchProgress, Key], SearchProgress],
  now: SearchProgress,
  keys: Key,
  tolerance: Array | None,
) -> SearchProgress:
  """Runs ``body`` once for each key, or until the mean has settled."""
  if tolerance is None:
    return jax.lax.scan(lambda now, key: (body(now, key), None), now, keys)[0]

  def unsettled(carry: tuple[Array, SearchProgress]) -> Array:
    done, now = carry
    return (done < len(keys)) & (now.moved > tolerance)

  step = lambda carry: (carry[0] + 1, body(carry[1], keys[carry[0]]))
  return jax.lax.while_loop(unsettled, step, (jnp.zeros((), jnp.int32), now))[1]
