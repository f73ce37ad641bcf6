"""Drives a compiled training step from the host until the run is over or a signal.

The loop owns no learning: all of that is in the state and the compiled step. Between
two chunks a ``Run`` cuts out the episodes that ended, writes their rows, evaluates where
that is due, and saves a checkpoint. Running 2N steps, and running N, saving, restoring in a
new process and running N more, leave the same state, metrics and rollouts, bit for bit.

Several runs may share one step, see ``train_together``: each keeps its own folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
import rich.console

from mbrl_jax.ops import validate
from mbrl_jax.runtime.devices.compilation import compile_ahead
from mbrl_jax.runtime.storage import lock
from mbrl_jax.runtime.storage.metrics import Tracker
from mbrl_jax.runtime.storage.run_folder import RunFolder
from mbrl_jax.runtime.training.interrupt import Interrupt
from mbrl_jax.runtime.training.run import Diverged, EnvironmentStopped, Run, Schedule
from mbrl_jax.runtime.training.run_group import RunGroup
from mbrl_jax.runtime.training.watchdog import Watchdog
from mbrl_jax.types import Metrics, TrainState

__all__ = ["Diverged", "EnvironmentStopped", "Outcome", "Schedule", "train", "train_together"]

Step = Callable[[TrainState], tuple[TrainState, Metrics]]


class Outcome(NamedTuple):
  """How a call of ``train`` ended.

  Attributes:
    state: the training state.
    step: environment steps taken.
    signal: the signal that asked to stop, ``None`` if the run is complete.
    compile_seconds: time spent compiling.
    finished: whether the run has come to its end.
  """

  state: TrainState
  step: int
  signal: int | None
  compile_seconds: float
  finished: bool = False


def train(
  step: Step,
  state: TrainState,
  folder: RunFolder,
  schedule: Schedule,
  *,
  seeds: list[int] | None = None,
  envs: int = 1,
  rest: tuple[int, Step] | None = None,
  evaluate: Callable[[TrainState, int], np.ndarray] | None = None,
  resume: int | str | bool = False,
  console: rich.console.Console | None = None,
  tracker: Tracker | None = None,
) -> Outcome:
  """Trains until the end that ``schedule`` sets, or until SIGTERM, SIGINT or SIGHUP.

  Args:
    step: from ``algorithms.make_step``; must not donate its argument.
    state: from ``algorithms.init_state``; on resuming, the template.
    folder: from ``run_folder.create`` or ``open_run``.
    schedule: when what happens.
    seeds: their numbers, all different, where leaves have a leading seed axis ``[S]``.
    envs: environments that each learner acts in, as in ``step``.
    rest: how many steps are left for a last call where ``schedule.total_steps`` is no
      multiple of those of ``step``, and the step that takes as many; ``None``: it is one.
    evaluate: ``(state, step) -> returns [S, episodes]`` (``[episodes]`` without ``seeds``).
    resume: ``True`` continues from the newest checkpoint, or from the beginning
      where there is none yet, a number from that step; what came after it is dropped.
    console: where to report; ``None`` is standard output.
    tracker: who is told of all metrics besides the files; closed at the end.

  Raises:
    Diverged: a reward, an observation, a metric of the learning or a parameter
      is not finite. The last finite state has been saved.
    EnvironmentStopped: an environment on the host raised or hung. The state before the
      chunk has been saved.
    CheckpointError: no such step or a damaged checkpoint, or the disk is full.
    RunFolderError: another process writes to the folder, or what is to be continued in it is
      damaged.
    ValueError: the schedule makes no sense, or the seeds do not, or episodes end early with
      several seeds and several steps in a call.
  """
  _check(schedule, seeds)
  with lock.writing(folder.path):
    run = Run(state, folder, schedule, seeds, resume, tracker, console, envs)
    return _until_the_end(run, step, rest, evaluate)


def train_together(
  step: Step,
  states: Sequence[TrainState],
  folders: Sequence[RunFolder],
  schedule: Schedule,
  *,
  seeds: list[int] | None = None,
  envs: int = 1,
  rest: tuple[int, Step] | None = None,
  evaluate: Callable[[TrainState, int], np.ndarray] | None = None,
  resume: bool = False,
  consoles: Sequence[rich.console.Console],
) -> list[Outcome]:
  """Trains runs whose program is the same as one, each into its own folder.

  What is saved of a run is what ``train`` would save of it: it can be resumed alone.

  Args:
    step: of ``runs * seeds`` at once, ``make_step(..., seeds=runs * max(seeds, 1))``.
    states: of each run, as ``train`` takes it.
    folders: of each.
    schedule: of all.
    seeds: the numbers of the seeds that each run has, see ``train``.
    envs: see ``train``.
    rest: see ``train``, of all at once.
    evaluate: ``(state, step) -> returns [runs * seeds, episodes]`` of all runs' states.
    resume: continue from the newest checkpoints, which must be of the same step.
    consoles: where each reports. A run that diverges says so there and ends, the others go
      on without it.

  Returns:
    How it ended, in the order of ``states``; a run that diverged is where it was then.

  Raises:
    Diverged: all did; the message is that of the last.
    EnvironmentStopped: see ``train``.
    CheckpointError, RunFolderError: see ``train``.
    ValueError: the schedule makes no sense, or the seeds, or the runs are not equally far.
  """
  _check(schedule, seeds)
  with lock.writing(*(folder.path for folder in folders)):
    runs = [
      Run(state, folder, schedule, seeds, resume, None, console, envs)
      for state, folder, console in zip(states, folders, consoles, strict=True)
    ]
    ended = _until_the_end(RunGroup(runs), step, rest, evaluate)
  return [ended._replace(state=run.state, step=run.step, finished=run.finished) for run in runs]


def _check(schedule: Schedule, numbers: list[int] | None) -> None:
  validate.positive(
    total_steps=schedule.total_steps, checkpoint_every=schedule.checkpoint_every
  )
  for number in numbers or ():
    validate.seeds(number)
  if len({*(numbers or ())}) < len(numbers or ()):
    raise validate.ArgumentError("seeds", numbers, "has one twice.")


def _until_the_end(
  run: Run | RunGroup, step: Step, rest: tuple[int, Step] | None, evaluate: Callable | None
) -> Outcome:
  try:
    with Interrupt() as interrupt:
      return _loop(run, step, rest, evaluate, interrupt)
  finally:
    run.close()


def _loop(
  run: Run | RunGroup,
  step: Step,
  rest: tuple[int, Step] | None,
  evaluate: Callable | None,
  stop: Interrupt,
) -> Outcome:
  compile_seconds, compiled = 0.0, {}
  watchdog = Watchdog(run.note)
  while not run.finished and not stop:
    last = rest is not None and run.schedule.total_steps - run.step == rest[0]
    if last not in compiled:
      compiled[last], seconds = compile_ahead(rest[1] if rest and last else step, run.state)
      run.compiled("the last training step" if last else "the training step", seconds)
      compile_seconds += seconds
    start = time.perf_counter()
    try:
      with watchdog.watch():
        state, metrics = compiled[last](run.state)
        metrics = jax.device_get(metrics)
    except Exception as error:
      run.check_environment(error)
      raise
    run.take(state, metrics, time.perf_counter() - start, evaluate)
  run.save_what_is_not()
  return Outcome(run.state, run.step, stop.signal, compile_seconds, run.finished)
