"""When evaluations and checkpoints are due."""

import numpy as np
import pytest

from mbrl_jax.runtime.storage.episodes import Episode
from mbrl_jax.runtime.training.counters import EndedEpisode
from mbrl_jax.runtime.training.schedule import Schedule


def ended(seed, trial, random=False):
  episode = Episode(0, 0.0, {"reward": np.zeros(1)})
  return EndedEpisode(seed, episode, {"trial": trial, "random": float(random)})


def test_evaluations_by_trials_are_due_for_each_seed_alone():
  schedule = Schedule(100, eval_every=2)
  episodes = [ended(0, 1), ended(0, 2), ended(1, 3), ended(2, 4, random=True)]
  assert schedule.evaluates
  assert schedule.seeds_to_evaluate(0, 50, episodes, 3) == {0}


def test_without_an_interval_no_evaluation_is_due():
  schedule = Schedule(100)
  assert not schedule.evaluates
  assert schedule.seeds_to_evaluate(0, 100, [ended(0, 1)], 1) == set()


@pytest.mark.parametrize(
  ("before", "after", "due"), [(0, 9, False), (9, 10, True), (10, 19, False), (5, 35, True)]
)
def test_intervals_in_steps_are_due_for_all_seeds_when_a_chunk_reaches_them(before, after, due):
  schedule = Schedule(100, eval_steps=10, checkpoint_steps=10)
  assert schedule.seeds_to_evaluate(before, after, [], 2) == ({0, 1} if due else set())
  assert schedule.checkpoint_due(before, after, [ended(0, 1)], [1, 0]) == due


@pytest.mark.parametrize(
  ("seeds", "episodes", "due"),
  [([0], [2, 0], False), ([0], [3, 0], True), ([0, 0], [4, 0], True), ([1], [3, 1], False)],
)
def test_checkpoints_by_episodes_are_due_when_any_seed_reaches_the_interval(
  seeds, episodes, due
):
  schedule = Schedule(100, checkpoint_every=3)
  assert schedule.checkpoint_due(0, 1, [ended(i, 1) for i in seeds], episodes) == due
