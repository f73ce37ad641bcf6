"""Sets the length of a run and when it is evaluated and saved."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import NamedTuple

from mbrl_jax.runtime.training.counters import EndedEpisode


class Schedule(NamedTuple):
  """Length of a run and the intervals of its evaluations and checkpoints.

  Attributes:
    total_steps: environment steps of the whole run (of each seed).
    total_episodes: finished episodes of the whole run (of each seed) instead; the step must
      change nothing after them, and ``total_steps`` is how many steps they take at most. 0:
      ``total_steps`` counts.
    eval_every: trials between separate evaluations of a seed; 0: none, the training
      rollouts are the evaluation, as in the original PETS program.
    eval_steps: environment steps between evaluations instead, after the compiled call that
      reaches them; 0: ``eval_every`` counts.
    checkpoint_every: finished episodes (of any seed) between checkpoints.
    checkpoint_steps: environment steps between checkpoints instead, after the compiled call
      that reaches them; 0: ``checkpoint_every`` counts.
    keep: newest checkpoints to keep in addition to the best.
    keep_rollouts: write ``logs.npz`` and ``logs.mat``.
    grows: field of ``config.json`` that holds the length of the run, such as
      ``config.steps``; a checkpoint fits any value of it.
  """

  total_steps: int
  eval_every: int = 0
  eval_steps: int = 0
  checkpoint_every: int = 1
  checkpoint_steps: int = 0
  keep: int = 2
  keep_rollouts: bool = True
  total_episodes: int = 0
  grows: str = ""

  @property
  def evaluates(self) -> bool:
    """Whether there are separate evaluations."""
    return self.eval_every > 0 or self.eval_steps > 0

  def seeds_to_evaluate(
    self, before: int, after: int, ended: Sequence[EndedEpisode], seeds: int
  ) -> set[int]:
    """Returns the indices of the seeds whose evaluation is due after a chunk.

    Args:
      before: environment steps before the chunk.
      after: environment steps after it.
      ended: episodes that ended in it.
      seeds: number of seeds.
    """
    every, steps = self.eval_every, self.eval_steps
    if steps:
      return set(range(seeds)) if after // steps > before // steps else set()
    trials = [(i, int(row["trial"])) for i, _, row in ended if every and not row["random"]]
    return {i for i, trial in trials if trial % every == 0}

  def checkpoint_due(
    self, before: int, after: int, ended: Sequence[EndedEpisode], episodes: Sequence[int]
  ) -> bool:
    """Returns whether a chunk reaches the next checkpoint.

    Args:
      before: environment steps before the chunk.
      after: environment steps after it.
      ended: episodes that ended in it.
      episodes: finished episodes of each seed after it.
    """
    every, steps = self.checkpoint_every, self.checkpoint_steps
    if steps:
      return after // steps > before // steps
    new = collections.Counter(i for i, *_ in ended)
    return any(count // every > (count - new[i]) // every for i, count in enumerate(episodes))
