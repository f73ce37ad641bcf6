"""The buffer of whole episodes against a plain list of episodes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbrl_jax.algorithms.parts import episode_buffer
from mbrl_jax.algorithms.parts.episode_buffer import (
  add_transitions,
  fill_episodes,
  init_episodes,
  start_states,
  whole_episodes,
)
from mbrl_jax.envs import make_env
from mbrl_jax.types import Transition

SPEC = make_env("pendulum").spec
ADD, WHOLE = jax.jit(add_transitions), jax.jit(whole_episodes)


def rows_of(numbers, ended=False):
  """Returns transitions whose observation and reward are their numbers."""
  count = np.float32(numbers)
  wide = lambda x: jnp.asarray(np.repeat(x[:, None], 3, 1))
  flag = jnp.broadcast_to(jnp.asarray(ended), count.shape)
  none = jnp.zeros(len(count), bool)
  return Transition(
    wide(count), jnp.zeros((len(count), 1)), jnp.asarray(count), wide(count + 0.5), flag, none
  )


class Episodes:
  """Transitions in the order of their storage, with the episode of each."""

  def __init__(self, capacity):
    self.capacity, self.rows, self.episodes = capacity, [], 0
    self.initial = []

  def begin(self):
    self.episodes += 1
    return self.episodes - 1

  def add(self, number, episode, first):
    self.rows.append((number, episode))
    if first:
      self.initial.append(number)

  def whole(self):
    lost = {episode for _, episode in self.rows[: -self.capacity]}
    kept = self.rows[-self.capacity :]
    return [number for number, episode in kept if episode not in lost]


@pytest.mark.parametrize("envs", [1, 3])
@pytest.mark.parametrize("capacity", [2, 11, 99])
def test_rows_of_whole_episodes_remain_in_their_order(envs, capacity):
  """Episodes of random lengths; some rows are masked, some later ones are not finite."""
  rng = np.random.default_rng(envs)
  buffer, slow = init_episodes(SPEC, capacity, envs), Episodes(capacity)
  left, episode, first = np.zeros(envs, int), np.zeros(envs, int), np.zeros(envs, bool)
  sizes = set()
  for t in range(30):
    for i in range(envs):
      if left[i] == 0:
        left[i], episode[i], first[i] = rng.integers(1, 12), slow.begin(), True
    numbers = 1.0 + t * envs + np.arange(envs)
    keep = rng.random(envs) < 0.8
    finite = (rng.random(envs) < 0.9) | first
    batch = rows_of(np.where(finite, numbers, np.nan))
    buffer = ADD(buffer, batch, jnp.asarray(first), jnp.asarray(keep))
    for i in np.flatnonzero(keep & finite):
      slow.add(numbers[i], episode[i], first[i])
    first &= ~keep  # an action that is not complete is still the first of its episode
    left -= 1
    rows = WHOLE(buffer)
    found = np.asarray(rows.data.reward)[: int(rows.size)].tolist()
    assert found == slow.whole()
    np.testing.assert_array_equal(rows.data.obs[: int(rows.size), 0], found)
    assert int(buffer.stored) == len(slow.rows)
    sizes.add(len(found))
  initial = np.asarray(buffer.initial.data)[: int(buffer.initial.size), 0].tolist()
  assert initial == slow.initial
  assert len(sizes) > 2 and (capacity == 99 or min(sizes) < capacity)


def test_a_running_episode_longer_than_the_buffer_leaves_no_rows():
  buffer = init_episodes(SPEC, 4, 1)
  sizes = []
  for t in range(6):
    buffer = ADD(buffer, rows_of([t]), jnp.array([t == 0]), jnp.ones(1, bool))
    sizes.append(int(WHOLE(buffer).size))
  assert sizes == [1, 2, 3, 4, 0, 0]


def test_of_the_initial_states_the_newest_remain(monkeypatch):
  monkeypatch.setattr(episode_buffer, "INITIAL_STATES", 3)
  buffer = init_episodes(SPEC, 2, 1)
  for t in range(10):
    buffer = ADD(buffer, rows_of([t]), jnp.array([t % 2 == 0]), jnp.ones(1, bool))
  assert sorted(np.asarray(buffer.initial.data)[:, 0].tolist()) == [4, 6, 8]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_start_states_have_their_share_of_the_buffer(share):
  """Rows 1 to 9 are of two episodes, of which 0 and 4 begin; row 0 is overwritten."""
  buffer = init_episodes(SPEC, 9, 1)
  for t in range(10):
    buffer = ADD(buffer, rows_of([t]), jnp.array([t in (0, 4)]), jnp.ones(1, bool))
  rows = WHOLE(buffer)
  assert np.asarray(rows.data.reward)[: int(rows.size)].tolist() == [4, 5, 6, 7, 8, 9]
  draw = jax.jit(start_states, static_argnums=3)
  found = draw(buffer, rows, share, 600, jax.random.key(0))[:, 0]
  split = round(600 * share)
  assert set(np.asarray(found[:split]).tolist()) == ({4, 5, 6, 7, 8, 9} if split else set())
  assert set(np.asarray(found[split:]).tolist()) == ({0, 4} if split < 600 else set())
  values, counts = np.unique(np.asarray(found), return_counts=True)
  expected = {v: split / 6 for v in range(4, 10)} if split else {}
  for v in (0, 4):
    expected[v] = expected.get(v, 0) + (600 - split) / 2
  for value, count in zip(values, counts, strict=True):
    assert abs(count - expected[value]) < 5 * np.sqrt(expected[value])
  again = draw(buffer, rows, share, 600, jax.random.key(1))[:, 0]
  assert (np.asarray(found) != np.asarray(again)).any()


@pytest.mark.parametrize("terminations", [False, True])
def test_a_data_set_is_split_into_its_episodes(terminations):
  """Without terminations an episode ends where the observation does not continue."""
  lengths, numbers, ended, following = [3, 1, 4], [], [], []
  for length in lengths:
    begin = 10.0 * len(numbers)
    numbers += [begin + t for t in range(length)]
    following += [begin + t + 1 for t in range(length)]
    ended += [False] * (length - 1) + [terminations]
  if terminations:  # an end is an end, also where the next episode begins at the same place
    following[2] = numbers[3]
  wide = lambda x: jnp.asarray(np.repeat(np.float32(x)[:, None], 3, 1))
  data = rows_of(numbers, ended)._replace(next_obs=wide(following))
  buffer = jax.jit(fill_episodes)(init_episodes(SPEC, 20, 1), data)
  firsts = [numbers[0], numbers[3], numbers[4]]
  size = int(buffer.initial.size)
  assert np.asarray(buffer.initial.data)[:size, 0].tolist() == firsts
  assert np.asarray(buffer.items.data.start)[:8].tolist() == [0, 0, 0, 3, 4, 4, 4, 4]
  rows = WHOLE(buffer)
  assert np.asarray(rows.data.reward)[: int(rows.size)].tolist() == numbers
  assert int(buffer.stored) == 8
