"""Trains several runs with one compiled step; each logs and saves to its own folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.env_failure import failure
from mbrl_jax.runtime.training.run import Diverged, Evaluator, Run
from mbrl_jax.runtime.training.schedule import Schedule
from mbrl_jax.types import Metrics, TrainState

RunIndex = int | slice
"""Index of a run on the leading axis: a slice if it has several seeds."""


def stack_states(states: Sequence[TrainState], seeds: list[int] | None) -> TrainState:
  """Stacks the states of runs, leaves ``[runs * seeds, ...]``."""
  stack = jnp.stack if seeds is None else jnp.concatenate
  return jax.tree.map(lambda *leaves: stack(leaves), *states)


class RunGroup:
  """Several runs with the interface of one ``Run``.

  Attributes:
    schedule: of all runs.
    state: leaves ``[runs * seeds, ...]``.
  """

  def __init__(self, runs: Sequence[Run]):
    """Groups runs with the same seeds and schedule.

    Raises:
      ValueError: they are not at the same step.
    """
    steps = sorted({run.step for run in runs})
    if len(steps) > 1:
      raise ValueError(f"The runs of a group must be at the same step, got steps {steps}.")
    self.schedule: Schedule = runs[0].schedule
    self._runs, self._active = runs, list(range(len(runs)))
    self._indices = _run_indices(len(runs), runs[0].seeds)
    self._split = jax.jit(lambda tree: [_select(tree, index) for index in self._indices])
    self.state = stack_states([run.state for run in runs], runs[0].seeds)

  @property
  def step(self) -> int:
    """Environment steps of the active run that has taken most."""
    return max(self._runs[i].step for i in self._active)

  @property
  def finished(self) -> bool:
    """Whether all active runs have finished."""
    return all(self._runs[i].finished for i in self._active)

  def note(self, text: str) -> None:
    """Prints a line to the console of each run."""
    for run in self._runs:
      run.note(text)

  def compiled(self, what: str, seconds: float) -> None:
    """Reports the time of a compilation and restarts the timers."""
    for run in self._runs:
      run.compiled(what, seconds)

  def add_chunk(
    self, state: TrainState, metrics: Metrics, seconds: float, evaluate: Evaluator | None
  ) -> None:
    """Adds a chunk to each active run; a run that diverges prints why and becomes inactive.

    Raises:
      Diverged: all runs did.
    """
    self.state, states = state, self._split(state)
    evaluated = None if evaluate is None else _evaluate_once(evaluate, state)
    for i in list(self._active):
      run, index = self._runs[i], self._indices[i]
      if run.finished:  # it takes no steps until the others have finished
        continue
      own = None if evaluated is None else _evaluator_of_run(evaluated, index)
      try:
        run.add_chunk(states[i], _select(metrics, index), seconds, own)
      except Diverged as error:
        run.note(str(error))
        self._active.remove(i)
        if not self._active:
          raise

  def save_if_unsaved(self) -> None:
    """Saves each run unless its newest checkpoint is of its step."""
    for run in self._runs:
      run.save_if_unsaved()

  def check_environment(self, error: Exception) -> None:
    """Saves all runs and raises ``EnvironmentStopped`` if the environment failed."""
    if failure(error) is not None:
      self.save_if_unsaved()
      self._runs[self._active[0]].check_environment(error)

  def close(self) -> None:
    """Ends the displays and closes the files."""
    for run in self._runs:
      run.close()


def _run_indices(runs: int, seeds: list[int] | None) -> list[RunIndex]:
  if seeds is None:
    return list(range(runs))
  width = len(seeds)
  return [slice(i * width, (i + 1) * width) for i in range(runs)]


def _select(tree: Any, index: RunIndex) -> Any:
  return jax.tree.map(lambda leaf: leaf[index], tree)


def _evaluate_once(evaluate: Evaluator, state: TrainState) -> Callable[[int], Metrics]:
  """Returns a function that evaluates all runs at the first call for a step."""
  cached: dict[int, Metrics] = {}

  def evaluated(step: int) -> Metrics:
    if step not in cached:
      cached[step] = jax.tree.map(np.asarray, evaluate(state, step))
    return cached[step]

  return evaluated


def _evaluator_of_run(evaluated: Callable[[int], Metrics], index: RunIndex) -> Evaluator:
  """Returns the evaluation of one run out of that of all runs."""
  return lambda state, step: _select(evaluated(step), index)
