"""One buffer of random, planned and validation transitions, told apart by episode.

Every ``validation_every``-th episode of each environment, and of a recorded data set, is kept
for validation: a model is never trained on it. The others are *old*, of the first, random data,
or *new*, of the planner.

Source: Nagabandi et al. 2017, "Neural Network Dynamics for Model-Based Deep Reinforcement
Learning with Model-Free Fine-Tuning", and its released code.

Deviations:
  * The released code records separate random episodes for validation, and of each iteration
    keeps the last ones.
  * The last transition of an episode counts, too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.episode_buffer import episode_starts
from mbrl_jax.algorithms.parts.offline import check_capacity
from mbrl_jax.algorithms.parts.replay import blank_transition
from mbrl_jax.buffers import ring
from mbrl_jax.types import Array, EnvSpec, Transition

OLD, NEW, VALIDATION = 0, 1, 2
"""Groups of rows; that of validation row ``i`` is ``VALIDATION`` plus the episode's number."""
_INVALID = 2**31 - 1


class Item(NamedTuple):
  """A stored transition and its group, ``[]`` int32."""

  transition: Transition
  group: Array


class SplitBuffer(NamedTuple):
  """State of the buffer.

  Attributes:
    items: ring of ``Item``.
    episode: episodes that have ended in each environment, ``[N]`` int32.
    loaded: episodes of the recorded data set, ``[]`` int32.
  """

  items: ring.Ring
  episode: Array
  loaded: Array


class SplitRows(NamedTuple):
  """All rows: old, then new, then validation rows by episode and time, then invalid ones.

  Attributes:
    data: leaves ``[cap, ...]``.
    group: ``[cap]`` int32.
    old, new, validation: numbers of rows, ``[]`` int32.
  """

  data: Transition
  group: Array
  old: Array
  new: Array
  validation: Array


def init_split(spec: EnvSpec, capacity: int, envs: int) -> SplitBuffer:
  """Makes an empty buffer of ``capacity`` transitions."""
  none = jnp.zeros((), jnp.int32)
  items = ring.init(capacity, Item(blank_transition(spec), none))
  return SplitBuffer(items, jnp.zeros(envs, jnp.int32), none)


def add_split(
  buffer: SplitBuffer, transitions: Transition, random: Array, validation_every: int
) -> SplitBuffer:
  """Stores the next transition of every environment.

  Args:
    buffer: the buffer.
    transitions: leaves ``[N, ...]``.
    random: the actions are those of the initial random policy, ``[]`` bool.
    validation_every: see above; 0: no validation rows.
  """
  envs = len(buffer.episode)
  number = buffer.loaded + buffer.episode * envs + jnp.arange(envs, dtype=jnp.int32)
  train = jnp.where(random, OLD, NEW)
  group = _groups(buffer.episode, number, train, validation_every)
  done = transitions.terminated | transitions.truncated
  items = ring.add_batch(buffer.items, Item(transitions, group))
  return buffer._replace(items=items, episode=buffer.episode + done)


def load_split(
  buffer: SplitBuffer, transitions: Transition, validation_every: int, *, grow: bool
) -> SplitBuffer:
  """Stores a recorded data set of random actions in an empty buffer.

  Args:
    buffer: the buffer.
    transitions: ``[n, ...]``; for its episodes see ``episode_starts``.
    validation_every: see above.
    grow: enlarge the buffer by ``n`` rows first.

  Raises:
    ValueError: more transitions than the capacity.
  """
  items, count = buffer.items, len(transitions.reward)
  if grow:
    items = ring.grow(items, items.capacity + count)
  else:
    check_capacity(items.capacity, count)
  number = jnp.cumsum(episode_starts(transitions), dtype=jnp.int32) - 1
  group = _groups(number, number, jnp.int32(OLD), validation_every)
  items = ring.add_many(items, Item(transitions, group), jnp.ones(count, bool))
  return buffer._replace(items=items, loaded=number[-1] + 1)


def sort_rows(buffer: SplitBuffer) -> SplitRows:
  """Returns all rows sorted by group, each in the order of time."""
  items, age = buffer.items, jnp.arange(buffer.items.capacity, dtype=jnp.int32)
  rows = (items.cursor - items.size + age) % items.capacity  # oldest first
  group = jnp.where(age < items.size, items.data.group[rows], _INVALID)
  order = jnp.argsort(group, stable=True)
  rows, group = rows[order], group[order]
  data: Any = jax.tree.map(lambda x: x[rows], items.data.transition)
  count = lambda mask: jnp.sum(mask, dtype=jnp.int32)
  held = (group >= VALIDATION) & (group < _INVALID)
  return SplitRows(data, group, count(group == OLD), count(group == NEW), count(held))


def _groups(episode: Array, number: Array, train: Array, validation_every: int) -> Array:
  """Returns groups ``[n]`` of rows, given episodes of their environment and unique numbers."""
  if not validation_every:
    return jnp.broadcast_to(train, episode.shape).astype(jnp.int32)
  held = episode % validation_every == validation_every - 1
  return jnp.where(held, VALIDATION + number, train).astype(jnp.int32)
