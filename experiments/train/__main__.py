"""Trains an algorithm on a task.

  python -m experiments.train --algo=pets --env=cartpole --seed=0 --logdir=runs/demo
  python -m experiments.train --logdir=runs/demo --resume
  python -m experiments.train --env=cartpole --seeds=4 --config.planner.samples=400
  python -m experiments.train --env=cartpole --seeds=4 --devices=2
  python -m experiments.train --env=my_task.py:make_task
  python -m experiments.train --algo=mbpo --env=reacher_7dof --env_schedule=9000:forearm=0.2
  python -m experiments.train --algo=mal --env=reacher_7dof --init_policy=runs/pal:best

--config.NAME=VALUE sets a field of the algorithm's config (listed below), --env.NAME=VALUE an
argument of the task, such as --env.action_noise=0.1; --env_schedule changes arguments of the
task in mid-training. --init_policy starts with the policy of another run. The run folder
--logdir receives metrics, checkpoints, plots and a video. Ctrl-C, SIGTERM and SIGHUP save the
run and stop it; --resume continues it exactly. Only one process can write to a run.

Exit status: 0 finished, or stopped by SIGTERM or SIGHUP; 130 stopped by Ctrl-C; 1 training
diverged or the disk is full; 2 wrong usage.
"""

from __future__ import annotations

import signal
from pathlib import Path

import rich.console
from absl import flags

from experiments import init_policy, job
from experiments.command_line import cli, outputs
from experiments.train import options as train_options
from experiments.train.opening import make_evaluator, make_schedule, open_job, saved_step
from experiments.train.redraw import redraw
from experiments.train.results import finish
from mbrl_jax.ops.extra import import_extra
from mbrl_jax.runtime.devices.compilation import enable_compilation_cache
from mbrl_jax.runtime.storage import run_folder, wandb_tracker
from mbrl_jax.runtime.training import loop


def define() -> None:
  """Defines the flags."""
  train_options.define()
  flags.adopt_module_key_flags(train_options)  # so that --help lists them


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Trains a new or resumed run; returns the exit status."""
  console = cli.console()
  if options.logdir:
    outputs.check_folder(Path(options.logdir), "--logdir")
  if options.compilation_cache:
    outputs.check_folder(Path(options.compilation_cache), "--compilation_cache")
    enable_compilation_cache(options.compilation_cache)
  if options.wandb:
    _check_wandb()
  with open_job(options, dotted) as (folder, task):
    console.print(f"run folder: {folder.path}", markup=False)
    return _train(options, folder, task, console)


def _train(
  options: flags.FlagValues,
  folder: run_folder.RunFolder,
  task: job.Job,
  console: rich.console.Console,
) -> int:
  schedule = make_schedule(options, task)
  state = init_policy.initial_state(task, folder)
  start = saved_step(folder) if options.step is None else options.step
  outcome = loop.train(
    task.segments(start),
    state,
    folder,
    schedule,
    seeds=task.seeds,
    envs=task.envs,
    evaluate=make_evaluator(task, state, console, start) if schedule.evaluates else None,
    resume=False if not options.resume else True if options.step is None else options.step,
    tracker=_tracker(folder, options.wandb) if options.wandb else None,
    after_chunk=redraw([folder], task.env.spec.name, console),
  )
  finish(folder, task, outcome, console, video=options.video)
  return 130 if outcome.signal == signal.SIGINT else 0


def _check_wandb() -> None:
  """Refuses ``--wandb`` if the package is missing, before a run folder is created."""
  try:
    import_extra("wandb")
  except ImportError as error:
    raise cli.UsageError(f"--wandb: {error}") from error


def _tracker(folder: run_folder.RunFolder, project: str) -> wandb_tracker.WandbTracker:
  try:
    return wandb_tracker.WandbTracker(folder, project)
  except ValueError as error:
    raise cli.UsageError(f"--wandb: {error}") from error


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "", train_options.more_help)
