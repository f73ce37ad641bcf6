"""Errors of open-loop predictions over several steps, on recorded episodes.

A window of ``h`` steps lies within one episode: the model predicts ``h`` steps ahead from its
first observation and its actions, and is compared with what was observed at its end.

Source: Nagabandi et al. 2017, "Neural Network Dynamics for Model-Based Deep Reinforcement
Learning with Model-Free Fine-Tuning", and its released code.

Deviations:
  * The released code takes windows from episodes of more than 100 steps only; here every
    number of steps has its own windows, from all episodes that are long enough.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from mbrl_jax.types import Array, Key, Metrics, Transition

HORIZONS = (1, 5, 10, 50, 100)
WINDOWS = 200
"""Windows of each number of steps, drawn with replacement."""


def multistep_errors(
  predict: Callable[[Array, Array], Array],
  distance: Callable[[Array, Array], Array],
  data: Transition,
  episode: Array,
  first: Array,
  count: Array,
  key: Key,
) -> Metrics:
  """Returns mean errors ``error_1``, ..., ``error_100`` over random windows, ``[]``.

  An error is 0 if no episode is long enough, and at most the largest finite number.

  Args:
    predict: ``(obs [O], action [A]) -> next_obs [O]``.
    distance: ``(predicted [O], observed [O]) -> []``, the error of a prediction.
    data: leaves ``[cap, ...]``; rows of an episode follow each other.
    episode: number of each row's episode, ``[cap]`` int32.
    first: first row to use, ``[]``.
    count: number of rows to use, ``[]``.
    key: typed key.
  """
  keys = jax.random.split(key, len(HORIZONS))
  row = jnp.arange(len(episode), dtype=jnp.int32)
  found = {}
  for steps, own_key in zip(HORIZONS, keys, strict=True):
    last = row + steps - 1
    same = episode[jnp.minimum(last, len(episode) - 1)] == episode
    starts = (row >= first) & (last < first + count) & same
    found[f"error_{steps}"] = _error(predict, distance, data, starts, steps, own_key)
  return found


def _error(
  predict: Callable[[Array, Array], Array],
  distance: Callable[[Array, Array], Array],
  data: Transition,
  starts: Array,
  steps: int,
  key: Key,
) -> Array:
  """Returns the mean error after ``steps`` steps from rows that ``starts [cap]`` selects."""
  number = jnp.cumsum(starts, dtype=jnp.int32)  # of the starts up to a row
  pick = jax.random.randint(key, (WINDOWS,), 0, jnp.maximum(number[-1], 1), jnp.int32)
  row = jnp.minimum(jnp.searchsorted(number, pick + 1), len(starts) - 1)

  def step(t: Array, obs: Array) -> Array:
    return jax.vmap(predict)(obs, data.action[jnp.minimum(row + t, len(starts) - 1)])

  # Without windows no step is computed, also where several seeds share the program.
  end = jax.lax.fori_loop(0, jnp.where(number[-1] > 0, steps, 0), step, data.obs[row])
  observed = data.next_obs[jnp.minimum(row + steps - 1, len(starts) - 1)]
  largest = jnp.finfo(jnp.float32).max
  error = jnp.minimum(jnp.nan_to_num(jax.vmap(distance)(end, observed), nan=largest), largest)
  return jnp.where(number[-1] > 0, jnp.minimum((error / WINDOWS).sum(), largest), 0.0)
