"""Drives a compiled training step from the host until the run ends or a signal arrives.

All learning is in the state and the compiled step. Between two chunks a ``Run`` splits off
the episodes that ended, writes their rows, evaluates if due, and saves a checkpoint. Running
2N steps, and running N, saving, restoring in a new process and running N more, give the same
state, metrics and rollouts, bit for bit.

Several runs may share one step, see ``train_together``: each keeps its own folder.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import rich.console

from mbrl_jax.ops import validate
from mbrl_jax.runtime.devices.compilation import compile_ahead
from mbrl_jax.runtime.storage import lock
from mbrl_jax.runtime.storage.metrics import Tracker
from mbrl_jax.runtime.storage.run_folder import RunFolder
from mbrl_jax.runtime.training.interrupt import Interrupt
from mbrl_jax.runtime.training.run import Diverged, EnvironmentStopped, Evaluator, Run
from mbrl_jax.runtime.training.run_group import RunGroup
from mbrl_jax.runtime.training.schedule import Schedule
from mbrl_jax.runtime.training.watchdog import Watchdog
from mbrl_jax.types import Metrics, TrainState

__all__ = [
  "Diverged",
  "EnvironmentStopped",
  "Outcome",
  "Schedule",
  "Segment",
  "train",
  "train_together",
]

TrainStep = Callable[[TrainState], tuple[TrainState, Metrics]]


class Segment(NamedTuple):
  """Part of a run that calls one compiled step.

  Attributes:
    step: from ``algorithms.make_step``; must not donate its argument.
    until: environment steps after its last call.
    change: ``(state) -> state``, applied before its first call; ``None``: no change. The
      changed state is not saved before that call, so a resumed run applies it again.
    name: for reports.
  """

  step: TrainStep
  until: float = math.inf
  change: Callable[[TrainState], TrainState] | None = None
  name: str = "the training step"


class Outcome(NamedTuple):
  """How a call of ``train`` ended.

  Attributes:
    state: the training state.
    step: environment steps taken.
    signal: the signal that stopped the run, ``None`` without one.
    compile_seconds: seconds spent compiling.
    finished: whether the run has reached the end of its schedule.
  """

  state: TrainState
  step: int
  signal: int | None
  compile_seconds: float
  finished: bool = False


def train(
  step: TrainStep | Sequence[Segment],
  state: TrainState,
  folder: RunFolder,
  schedule: Schedule,
  *,
  seeds: list[int] | None = None,
  envs: int = 1,
  evaluate: Evaluator | None = None,
  resume: int | str | bool = False,
  console: rich.console.Console | None = None,
  tracker: Tracker | None = None,
  after_chunk: Callable[[], None] | None = None,
) -> Outcome:
  """Trains to the end of ``schedule``, or until SIGTERM, SIGINT or SIGHUP.

  Args:
    step: from ``algorithms.make_step``; must not donate its argument. Or segments in the order
      of the run, each with its own step: those of the steps that are left.
    state: from ``algorithms.init_state``; on resuming, the template.
    folder: from ``run_folder.create`` or ``open_run``.
    schedule: length of the run and intervals of evaluations and checkpoints.
    seeds: distinct seed numbers, if leaves have a leading seed axis ``[S]``.
    envs: environments that each learner acts in, as in ``step``.
    evaluate: see ``run.Evaluator``.
    resume: ``True`` resumes from the newest checkpoint, or starts over if there is none;
      a number resumes from that step and ``"best"`` from the best checkpoint; everything
      later is dropped.
    console: where to report; ``None`` is standard output.
    tracker: receives all metrics in addition to the files; closed at the end.
    after_chunk: called after each call of ``step``, once its rows are written.

  Raises:
    Diverged: a reward, an observation, an update metric or a parameter is not finite. The
      last finite state has been saved.
    EnvironmentStopped: an environment on the host raised or hung. The state before the
      chunk has been saved.
    CheckpointError: no such step, a damaged checkpoint, or a full disk.
    RunFolderError: another process writes to the folder, or files to resume from are damaged.
    ValueError: an invalid schedule or invalid seeds, segments that end before it does, or
      episodes end early with several seeds and several steps in a call.
  """
  _check(schedule, seeds)
  with lock.writing(folder.path):
    run = Run(state, folder, schedule, seeds, resume, tracker, console, envs)
    return _run_loop(run, _segments(step, schedule), evaluate, after_chunk)


def train_together(
  step: TrainStep | Sequence[Segment],
  states: Sequence[TrainState],
  folders: Sequence[RunFolder],
  schedule: Schedule,
  *,
  seeds: list[int] | None = None,
  envs: int = 1,
  evaluate: Evaluator | None = None,
  resume: bool = False,
  consoles: Sequence[rich.console.Console],
  after_chunk: Callable[[], None] | None = None,
) -> list[Outcome]:
  """Trains several runs with one compiled step, each into its own folder.

  The files of a run are those that ``train`` would write: it can be resumed alone.

  Args:
    step: of ``runs * seeds`` at once, ``make_step(..., seeds=runs * max(seeds, 1))``; or
      segments, see ``train``.
    states: one for each run, as in ``train``.
    folders: one for each run.
    schedule: of all runs.
    seeds: seed numbers of each run, see ``train``.
    envs: see ``train``.
    evaluate: see ``run.Evaluator``, ``[runs * seeds, episodes]`` of all runs' states.
    resume: resume from the newest checkpoints, which must be of the same step.
    consoles: one for each run. A run that diverges reports it there and ends; the others
      continue.
    after_chunk: see ``train``.

  Returns:
    The outcome of each run, in the order of ``states``; for a run that diverged, with its
    last finite state.

  Raises:
    Diverged: all runs did; the message is that of the last.
    EnvironmentStopped: see ``train``.
    CheckpointError, RunFolderError: see ``train``.
    ValueError: an invalid schedule or invalid seeds, or runs at different steps.
  """
  _check(schedule, seeds)
  with lock.writing(*(folder.path for folder in folders)):
    runs = [
      Run(state, folder, schedule, seeds, resume, None, console, envs)
      for state, folder, console in zip(states, folders, consoles, strict=True)
    ]
    ended = _run_loop(RunGroup(runs), _segments(step, schedule), evaluate, after_chunk)
  return [ended._replace(state=run.state, step=run.step, finished=run.finished) for run in runs]


def _check(schedule: Schedule, numbers: list[int] | None) -> None:
  validate.positive(
    total_steps=schedule.total_steps, checkpoint_every=schedule.checkpoint_every
  )
  for number in numbers or ():
    validate.seeds(number)
  if len({*(numbers or ())}) < len(numbers or ()):
    raise validate.ArgumentError("seeds", numbers, "must be distinct.")


def _segments(step: TrainStep | Sequence[Segment], schedule: Schedule) -> Sequence[Segment]:
  segments = [Segment(step)] if callable(step) else step
  if segments[-1].until < schedule.total_steps:
    total = "total_steps", schedule.total_steps
    raise validate.ArgumentError("until", segments[-1].until, "is before {}.", total)
  return segments


def _run_loop(
  run: Run | RunGroup,
  segments: Sequence[Segment],
  evaluate: Evaluator | None,
  after_chunk: Callable[[], None] | None,
) -> Outcome:
  try:
    with Interrupt() as interrupt:
      return _loop(run, segments, evaluate, after_chunk, interrupt)
  finally:
    run.close()


def _loop(
  run: Run | RunGroup,
  segments: Sequence[Segment],
  evaluate: Evaluator | None,
  after_chunk: Callable[[], None] | None,
  interrupt: Interrupt,
) -> Outcome:
  compile_seconds = 0.0
  compiled: dict[int, TrainStep] = {}
  watchdog = Watchdog(run.note)
  while not run.finished and not interrupt:
    current = next(i for i, segment in enumerate(segments) if run.step < segment.until)
    segment, before = segments[current], run.state
    if current not in compiled:
      compiled[current], seconds = compile_ahead(segment.step, before)
      run.compiled(segment.name, seconds)
      compile_seconds += seconds
      before = before if segment.change is None else segment.change(before)
    start = time.perf_counter()
    try:
      with watchdog.watch():
        state, metrics = compiled[current](before)
        metrics = jax.device_get(metrics)
    except Exception as error:
      run.check_environment(error)
      raise
    run.add_chunk(state, metrics, time.perf_counter() - start, evaluate)
    if after_chunk is not None:
      after_chunk()
  run.save_if_unsaved()
  return Outcome(run.state, run.step, interrupt.signal, compile_seconds, run.finished)
