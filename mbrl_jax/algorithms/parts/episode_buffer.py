"""Real transitions of whole episodes, and the initial states of all episodes.

The buffer drops the oldest episodes as a whole: what a ring has not yet overwritten of an
episode that has lost its first transition is not used any more.

Source: Rajeswaran et al. 2020, "A Game Theoretic Framework for Model Based Reinforcement
Learning", the released code.

Deviations:
  * Transitions of the running episode are used at once.
  * Of the initial states the newest 10,000 are kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mbrl_jax.algorithms.parts.replay import blank_transition
from mbrl_jax.buffers import ring
from mbrl_jax.types import Array, EnvSpec, Key, Transition

INITIAL_STATES = 10_000


class Item(NamedTuple):
  """A stored transition.

  Attributes:
    transition: of one action.
    start: number of transitions stored before its episode began, ``[]`` int32.
  """

  transition: Transition
  start: Array


class EpisodeBuffer(NamedTuple):
  """State of the buffer.

  Attributes:
    items: ring of ``Item``.
    initial: ring of the first observations of episodes ``[O]``.
    stored: transitions stored so far, ``[]`` int32.
    start: ``Item.start`` of the running episodes, ``[N]`` int32.
  """

  items: ring.Ring
  initial: ring.Ring
  stored: Array
  start: Array


class Rows(NamedTuple):
  """The valid transitions, oldest first.

  Attributes:
    data: leaves ``[cap, ...]``; those after the first ``size`` are invalid.
    size: ``[]`` int32.
  """

  data: Transition
  size: Array


def init_episodes(spec: EnvSpec, capacity: int, envs: int) -> EpisodeBuffer:
  """Makes an empty buffer of ``capacity`` transitions."""
  none = jnp.zeros((), jnp.int32)
  items = ring.init(capacity, Item(blank_transition(spec), none))
  initial = ring.init(INITIAL_STATES, jnp.zeros(spec.obs_dim))
  return EpisodeBuffer(items, initial, none, jnp.zeros(envs, jnp.int32))


def add_transitions(
  buffer: EpisodeBuffer, transitions: Transition, first: Array, keep: Array
) -> EpisodeBuffer:
  """Stores the next transition of every environment.

  Args:
    buffer: the buffer.
    transitions: leaves ``[N, ...]``.
    first: ``[N]`` bool, the first of their episodes.
    keep: ``[N]`` bool, which to store.
  """
  keep = keep & jax.vmap(ring.is_finite)(transitions)
  position = buffer.stored + jnp.cumsum(keep, dtype=jnp.int32) - keep
  start = jnp.where(first, position, buffer.start)
  return EpisodeBuffer(
    items=ring.add_many(buffer.items, Item(transitions, start), keep),
    initial=ring.add_many(buffer.initial, transitions.obs, keep & first),
    stored=buffer.stored + jnp.sum(keep, dtype=jnp.int32),
    start=start,
  )


def whole_episodes(buffer: EpisodeBuffer) -> Rows:
  """Returns the transitions of episodes of which none has been overwritten."""
  items = buffer.items
  age = jnp.arange(items.capacity)
  chronological: Item = jax.tree.map(
    lambda x: x[(items.cursor - items.size + age) % items.capacity], items.data
  )
  valid = (age < items.size) & (chronological.start >= buffer.stored - items.size)
  order = jnp.argsort(~valid, stable=True)
  data = jax.tree.map(lambda x: x[order], chronological.transition)
  return Rows(data, jnp.sum(valid, dtype=jnp.int32))


def start_states(
  buffer: EpisodeBuffer, rows: Rows, share: Array | float, count: int, key: Key
) -> Array:
  """Draws start states of imagined trajectories with replacement, ``[count, O]``.

  Args:
    buffer: the buffer.
    rows: of ``whole_episodes``.
    share: of them that are any states of the rows, ``[]``; the others are initial states.
    count: static.
    key: typed key.
  """
  first_key, row_key = jax.random.split(key)
  initial = ring.sample(buffer.initial, first_key, count)
  chosen = jax.random.randint(row_key, (count,), 0, jnp.maximum(rows.size, 1), jnp.int32)
  from_rows = jnp.arange(count) < jnp.round(count * share)
  return jnp.where(from_rows[:, None], rows.data.obs[chosen], initial)


def fill_episodes(buffer: EpisodeBuffer, transitions: Transition) -> EpisodeBuffer:
  """Stores a recorded data set ``[n, ...]``; for its episodes see ``episode_starts``."""
  first = episode_starts(transitions)
  count = jnp.arange(len(first), dtype=jnp.int32)
  start = buffer.stored + jax.lax.cummax(jnp.where(first, count, 0))
  return buffer._replace(
    items=ring.add_many(buffer.items, Item(transitions, start), jnp.ones_like(first)),
    initial=ring.add_many(buffer.initial, transitions.obs, first),
    stored=buffer.stored + len(first),
  )


def episode_starts(transitions: Transition) -> Array:
  """Marks the first transitions of the episodes of a recorded data set, ``[n]`` bool.

  An episode begins where the observation is not the one after the transition before.
  """
  before: Any = jax.tree.map(lambda x: jnp.roll(x, 1, 0), transitions)
  first = (transitions.obs != before.next_obs).any(-1) | before.terminated | before.truncated
  return first.at[0].set(True)
