"""Recording of episodes: which steps are rows, and when there are enough."""

import numpy as np
import pytest

from experiments.recording import Enough, episodes_of, record
from mbrl_jax.types import Transition


def evaluation(rewards, terminated=None, truncated=None):
  """Returns the metrics of episodes whose rewards are ``[..., T]``."""
  reward = np.asarray(rewards, float)
  wide = np.repeat(reward[..., None], 3, -1)
  none = np.zeros(reward.shape, bool)
  ends = none if terminated is None else terminated, none if truncated is None else truncated
  transition = Transition(wide, wide[..., :1], reward, wide + 1, *ends)
  return {"return": reward.sum(-1), "transition": transition}


def test_rows_are_the_steps_up_to_the_end_of_each_episode():
  """Two seeds with two episodes of four steps; steps are numbered by their reward."""
  number = np.arange(16.0).reshape(2, 2, 4)
  terminated, truncated = np.zeros((2, 2, 4), bool), np.zeros((2, 2, 4), bool)
  terminated[0, 0, 1] = terminated[0, 0, 3] = truncated[1, 0, 0] = True
  truncated[0, 1, 3] = truncated[1, 1, 3] = True
  found = list(episodes_of(evaluation(number, terminated, truncated)))
  # The seeds take turns, so that the first episodes are of all of them.
  assert [e.rows["reward"].tolist() for e in found] == [
    [0, 1],
    [8],
    [4, 5, 6, 7],
    [12, 13, 14, 15],
  ]
  assert [e.total for e in found] == [6, 38, 22, 54]
  assert found[2].rows["obs"].tolist() == [[x] * 3 for x in (4, 5, 6, 7)]
  assert found[3].rows["next_obs"].shape == (4, 3) and found[3].rows["action"].shape == (4, 1)
  assert [e.rows["terminated"].tolist() for e in found[:2]] == [[False, True], [False]]
  assert "truncated" not in found[0].rows


def numbered(index):
  """Returns three episodes of two steps whose returns are 6 index, + 2, + 4."""
  return evaluation([[3 * index + i, 3 * index + i] for i in range(3)])


@pytest.mark.parametrize(
  ("enough", "totals", "tried"),
  [
    (Enough(transitions=7), [0, 2, 4, 6, 8, 10], 6),
    (Enough(episodes=4), [0, 2, 4, 6], 4),
    (Enough(episodes=2, tries=20, min_return=7), [8, 10], 6),
    (Enough(episodes=3, tries=20, min_return=8), [8, 10, 12], 7),
    (Enough(episodes=9, tries=5, min_return=4), [4, 6, 8], 5),
    (Enough(episodes=9, tries=5, min_return=99), [], 5),
  ],
)
def test_a_recording_ends_as_soon_as_there_is_enough(enough, totals, tried):
  reports = []
  found = record(numbered, enough, reports.append)
  assert [e.total for e in found.episodes] == totals and found.tried == tried
  assert [report.tried for report in reports] == [3 * (i + 1) for i in range(len(reports))]


def test_the_data_of_a_recording_are_its_rows_one_episode_after_the_other():
  data = record(numbered, Enough(episodes=2)).data()
  assert data["reward"].tolist() == [0, 0, 1, 1] and data["obs"].shape == (4, 3)
  assert set(data) == {"obs", "action", "reward", "next_obs", "terminated"}
