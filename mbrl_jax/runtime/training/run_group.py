"""Runs that share one compiled step: states side by side, each booked in its own folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mbrl_jax.ops.env_failure import failure
from mbrl_jax.runtime.training.run import Diverged, Run
from mbrl_jax.types import Metrics, TrainState

Part = int | slice
"""Where a run lies on the leading axis: with several seeds it is a slice."""


def join(states: Sequence[TrainState], seeds: list[int] | None) -> TrainState:
  """Lays states side by side, leaves ``[runs * seeds, ...]``."""
  join = jnp.stack if seeds is None else jnp.concatenate
  return jax.tree.map(lambda *leaves: join(leaves), *states)


class RunGroup:
  """Several runs as one; offers the loop what it asks of a ``Run``.

  Attributes:
    schedule: of all.
    state: leaves ``[runs * seeds, ...]``.
  """

  def __init__(self, runs: Sequence[Run]):
    """Takes runs with the same seeds and schedule.

    Raises:
      ValueError: they are not equally far.
    """
    steps = sorted({run.step for run in runs})
    if len(steps) > 1:
      raise ValueError(f"Runs that are trained together are equally far, got steps {steps}.")
    self.schedule = runs[0].schedule
    self._runs, self._going = runs, list(range(len(runs)))
    self._parts = _parts(len(runs), runs[0].seeds)
    self._split = jax.jit(lambda tree: [_cut(tree, part) for part in self._parts])
    self.state = join([run.state for run in runs], runs[0].seeds)

  @property
  def step(self) -> int:
    """Environment steps taken by the run of those that go on which is furthest."""
    return max(self._runs[i].step for i in self._going)

  @property
  def finished(self) -> bool:
    """Whether all that go on have come to their end."""
    return all(self._runs[i].finished for i in self._going)

  def note(self, text: str) -> None:
    """Says something to all."""
    for run in self._runs:
      run.note(text)

  def compiled(self, what: str, seconds: float) -> None:
    """Says how long a compilation took; the clocks start after it."""
    for run in self._runs:
      run.compiled(what, seconds)

  def take(
    self, state: TrainState, metrics: Metrics, seconds: float, evaluate: Callable | None
  ) -> None:
    """Books one chunk of each run; one that diverges says why and is then left alone.

    Raises:
      Diverged: all did.
    """
    self.state, states = state, self._split(state)
    returns = evaluate and _once(evaluate, state)
    for i in list(self._going):
      run, part = self._runs[i], self._parts[i]
      if run.finished:  # it stands still until the others are
        continue
      own = returns and (lambda state, step, part=part: returns(step)[part])
      try:
        run.take(states[i], _cut(metrics, part), seconds, own)
      except Diverged as error:
        run.note(str(error))
        self._going.remove(i)
        if not self._going:
          raise

  def save_what_is_not(self) -> None:
    """Saves each run unless its newest checkpoint is of its step."""
    for run in self._runs:
      run.save_what_is_not()

  def check_environment(self, error: Exception) -> None:
    """Saves all and stops if ``error`` says that the environment failed."""
    if failure(error) is not None:
      self.save_what_is_not()
      self._runs[self._going[0]].check_environment(error)

  def close(self) -> None:
    """Ends the displays and closes the files."""
    for run in self._runs:
      run.close()


def _parts(runs: int, seeds: list[int] | None) -> list[Part]:
  if seeds is None:
    return list(range(runs))
  width = len(seeds)
  return [slice(i * width, (i + 1) * width) for i in range(runs)]


def _cut(tree: Any, part: Part) -> Any:
  return jax.tree.map(lambda leaf: leaf[part], tree)


def _once(
  evaluate: Callable[[TrainState, int], np.ndarray], state: TrainState
) -> Callable[[int], np.ndarray]:
  """Evaluates all runs when the first asks at its step."""
  found: dict[int, np.ndarray] = {}

  def returns(step: int) -> np.ndarray:
    if step not in found:
      found[step] = np.asarray(evaluate(state, step))
    return found[step]

  return returns
