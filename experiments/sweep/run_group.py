"""Trains runs of a sweep with equal programs in one process, each into its own folder.

``experiments.sweep`` starts this program. Each run logs to its own file and can be resumed
alone. A run that diverges ends; the others continue.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import jax
import rich.console
from absl import flags

from experiments import init_policy, job
from experiments.command_line import cli
from experiments.sweep.schedule import log_of
from experiments.train import options as train_options
from experiments.train.opening import make_evaluator, make_schedule, saved_step
from experiments.train.redraw import redraw
from experiments.train.results import finish
from mbrl_jax.runtime.devices.compilation import enable_compilation_cache
from mbrl_jax.runtime.storage import lock, run_folder
from mbrl_jax.runtime.training import loop
from mbrl_jax.runtime.training.run_group import stack_states


def define() -> None:
  """Defines the flags: those of ``experiments.train`` and the run folders."""
  train_options.define()
  flags.DEFINE_multi_string("runs", [], "Run folders")


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Trains all runs; returns the exit status."""
  cli.refuse(dotted)
  if not options.runs:
    raise cli.UsageError("--runs is missing: run folders that a sweep has created.")
  if options.compilation_cache:
    enable_compilation_cache(options.compilation_cache)
  folders = [run_folder.open_run(path) for path in options.runs]
  with _consoles(folders) as consoles, _locked(folders):
    for folder in folders:
      if not folder.checkpoints.exists():  # created by the sweep, whose versions may differ
        run_folder.write_versions(folder)
    tasks = [job.build_run(folder) for folder in folders]
    return _train(options, folders, tasks, consoles)


def _train(
  options: flags.FlagValues,
  folders: list[run_folder.RunFolder],
  tasks: list[job.Job],
  consoles: list[rich.console.Console],
) -> int:
  together = tasks[0]._replace(runs=len(tasks))
  schedule = make_schedule(options, together)
  states = [
    init_policy.initial_state(task, folder) for task, folder in zip(tasks, folders, strict=True)
  ]
  start = saved_step(folders[0])
  joined = jax.eval_shape(lambda: stack_states(states, together.seeds))
  outcomes = loop.train_together(
    together.segments(start),
    states,
    folders,
    schedule,
    seeds=together.seeds,
    envs=together.envs,
    evaluate=(
      make_evaluator(together, joined, consoles[0], start) if schedule.evaluates else None
    ),
    resume=True,
    consoles=consoles,
    after_chunk=redraw(folders, together.env.spec.name, consoles[0]),
  )
  for folder, task, outcome, console in zip(folders, tasks, outcomes, consoles, strict=True):
    if outcome.signal is not None or outcome.finished:
      finish(folder, task, outcome, console, video=options.video)
  stopped = outcomes[0].signal
  if stopped is not None:
    return 130 if stopped == signal.SIGINT else 0
  return 0 if all(outcome.finished for outcome in outcomes) else 1


@contextlib.contextmanager
def _locked(folders: list[run_folder.RunFolder]) -> Iterator[None]:
  """Locks the folders for writing; on an error, deletes those in which nothing is stored."""
  with lock.writing(*(folder.path for folder in folders)):
    try:
      yield
    except BaseException:
      for folder in folders:
        run_folder.discard_unused(folder)
      raise


@contextlib.contextmanager
def _consoles(folders: list[run_folder.RunFolder]) -> Iterator[list[rich.console.Console]]:
  """Opens the log of each run; writes an error that ends the program to all of them."""
  with contextlib.ExitStack() as stack:
    files = [stack.enter_context(open(log_of(folder), "a", buffering=1)) for folder in folders]
    consoles = [
      rich.console.Console(
        file=file, highlight=False, soft_wrap=True, markup=False, emoji=False
      )
      for file in files
    ]
    try:
      yield consoles
    except loop.Diverged:  # already in the log of its run
      raise
    except Exception as error:
      for console in consoles:
        console.print(f"error: {error}", markup=False)
      raise


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "", repeated="runs")
