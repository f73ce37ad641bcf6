"""Chunks of steps are split into the episodes of each environment."""

from __future__ import annotations

import chex
import numpy as np

from mbrl_jax.runtime.storage.episodes import EpisodeCollector


def chunk(first, steps, ends):
  """Returns ``feed``'s arguments: rewards count up, ``ends`` are indices of last steps."""
  reward = np.arange(first, first + steps, dtype=np.float32)
  done = np.isin(np.arange(first, first + steps), ends)
  arrays = {"reward": reward, "obs": np.stack([reward, -reward], axis=1)}
  return first, arrays, done, np.where(done, 10 * reward, np.nan)


def test_an_episode_may_span_chunks_and_several_may_end_in_one():
  collector, ends = EpisodeCollector(), [1, 2, 8]
  first = collector.feed(*chunk(0, 4, ends))
  assert [(e.step, e.total, e.length) for e in first] == [(2, 10.0, 2), (3, 20.0, 1)]
  assert collector.feed(*chunk(4, 4, ends)) == []
  (last,) = collector.feed(*chunk(8, 1, ends))
  assert (last.step, last.total) == (9, 80.0)
  np.testing.assert_array_equal(last.arrays["reward"], np.arange(3, 9))
  np.testing.assert_array_equal(last.arrays["obs"][:, 1], -np.arange(3, 9))
  assert collector.open_steps() == {}


def test_a_collector_continues_from_its_open_steps():
  collector = EpisodeCollector()
  collector.feed(*chunk(0, 5, [1]))
  resumed = EpisodeCollector(collector.open_steps())
  expected, found = (c.feed(*chunk(5, 3, [6])) for c in (collector, resumed))
  assert expected[0].step == found[0].step == 7
  chex.assert_trees_all_equal(found[0].arrays, expected[0].arrays)
  chex.assert_trees_all_equal(resumed.open_steps(), collector.open_steps())


def test_each_environment_has_its_own_episodes():
  """Steps 0, 2, 4, ... are of the first of two environments, the others of the second."""
  even, odd = (EpisodeCollector(env=i, envs=2) for i in range(2))
  steps = chunk(0, 8, [4, 5])
  (first,), (second,) = even.feed(*steps), odd.feed(*steps)
  np.testing.assert_array_equal(first.arrays["reward"], [0, 2, 4])
  np.testing.assert_array_equal(second.arrays["reward"], [1, 3, 5])
  assert (first.step, second.step) == (5, 6)
  np.testing.assert_array_equal(odd.open_steps()["reward"], [7])


def test_an_episode_is_random_if_all_its_actions_are():
  first, arrays, done, returns = chunk(0, 4, [1, 3])
  flags = {"info/random": np.float32([1, 1, 1, 0])}
  episodes = EpisodeCollector().feed(first, arrays | flags, done, returns)
  assert [episode.random for episode in episodes] == [True, False]
