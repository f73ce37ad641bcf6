"""Trains an algorithm on a task into a run folder that can be resumed and looked at.

  python -m experiments.train --algo=pets --env=cartpole --seed=0 --logdir=runs/demo
  python -m experiments.train --logdir=runs/demo --resume
  python -m experiments.train --env=cartpole --seeds=4 --config.planner.samples=400
  python -m experiments.train --env=cartpole --seeds=4 --devices=2
  python -m experiments.train --env=my_task.py:make_task

A field of the algorithm's config is set with --config.NAME=VALUE, an argument of the task
with --env.NAME=VALUE (such as --env.action_noise=0.1). Stop with Ctrl-C, SIGTERM or SIGHUP: the
run is saved and --resume continues it exactly. One process at a time writes to a run. Exit
status: 0 done, or stopped by SIGTERM or SIGHUP; 130 stopped by Ctrl-C; 1 training diverged or
the disk is full; 2 wrong usage.
"""

from __future__ import annotations

import contextlib
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import rich.console
import rich.table
from absl import flags

from experiments import job
from experiments.analysis import pictures
from experiments.command_line import cli, config_flags, env_reference, outputs
from mbrl_jax.algorithms import default_config, list_algorithms
from mbrl_jax.ops.extra import import_extra
from mbrl_jax.planners import SEARCHES
from mbrl_jax.runtime.devices.compilation import enable_compilation_cache
from mbrl_jax.runtime.storage import audit, lock, resume_config, run_folder, wandb_tracker
from mbrl_jax.runtime.storage.checkpoint import Checkpoints
from mbrl_jax.runtime.storage.csv_log import read_table
from mbrl_jax.runtime.training import loop
from mbrl_jax.types import TrainState

EVALUATION = ("eval_every", "eval_steps", "eval_episodes")
STORED = ("algo", "env", "physics", "preset", "seed", "seeds", "envs", *EVALUATION)
"""Flags that ``config.json`` keeps and that a resumed run takes from there."""


def define() -> None:
  """Defines the flags."""
  flags.DEFINE_string("algo", "pets", f"Algorithm: {', '.join(list_algorithms())}.")
  flags.DEFINE_string("env", "cartpole", f"Task: {env_reference.known()}.")
  flags.DEFINE_string("logdir", None, "Folder of the run. Default: runs/ALGO_ENV_SEED.")
  flags.DEFINE_integer("seed", 0, "Seed; equal seeds give equal runs on one machine.", 0)
  flags.DEFINE_integer("seeds", 1, "Seeds to train at once: --seed and those after it.", 1)
  flags.DEFINE_integer(
    "envs",
    1,
    "Environments that each learner acts in at once. Steps are counted over all of them, so it "
    "divides the config's counts of steps, or of trials.",
    1,
  )
  flags.DEFINE_integer(
    "devices",
    1,
    "Devices to train the seeds on, each its share of --seeds; cores count as devices on CPUs.",
    1,
  )
  flags.DEFINE_string("preset", "cpu", "cpu (small, for two cores) or paper (the original's).")
  flags.DEFINE_string(
    "physics", "auto", "mjx, mujoco (C engine), or auto: what suits the device."
  )
  flags.DEFINE_bool("resume", False, "Continue the run in --logdir exactly where it stopped.")
  flags.DEFINE_integer(
    "step", None, "With --resume: continue from this checkpoint; what came later is dropped."
  )
  _define_schedule()
  flags.DEFINE_bool("rollouts", True, "Write all rollouts to logs.npz and logs.mat.")
  flags.DEFINE_bool("video", True, "Write a video of the last rollout.")
  flags.DEFINE_string(
    "wandb", None, "Project of Weights & Biases that the metrics go to as well (extra 'wandb')."
  )
  flags.DEFINE_string("compilation_cache", None, "Folder in which compiled programs are kept.")


def _define_schedule() -> None:
  """Defines the flags that say when a run is evaluated and saved."""
  flags.DEFINE_integer(
    "eval_every",
    None,
    "Trials between evaluations in episodes of their own; 0: the training episodes are the "
    "evaluation, as in the original PETS. Default: 5 where the run is counted in trials.",
    0,
  )
  flags.DEFINE_integer(
    "eval_steps",
    None,
    "Environment steps between evaluations, in place of --eval_every; a multiple of "
    "--config.update_every. Default: a twentieth of the run where it is counted in steps.",
    0,
  )
  flags.DEFINE_integer(
    "eval_episodes",
    None,
    "Episodes of one evaluation. Default: 10 where the run is counted in steps, else 1.",
    1,
  )
  flags.DEFINE_integer(
    "checkpoint_every",
    None,
    "Episodes between checkpoints. Default: 1, or with each evaluation where the run is "
    "counted in steps.",
    1,
  )
  flags.DEFINE_integer("keep", 2, "Newest checkpoints to keep besides the best.", 1)


def more_help(argv: list[str]) -> str:
  """Describes the config that the arguments given with ``--help`` lead to."""
  typed = dict(word.lstrip("-").split("=", 1) for word in argv[1:] if "=" in word)
  algo = typed.get("algo") if typed.get("algo") in list_algorithms() else "pets"
  known = config_flags.presets(algo)
  preset = typed.get("preset") if typed.get("preset") in known else "cpu"
  values = config_flags.preset_values(algo, preset, typed.get("env", "cartpole"))
  config = config_flags.override(default_config(algo), values)
  planner = typed.get("config.planner.name")
  if planner in SEARCHES and "planner.name" in config_flags.fields(config):
    config = config_flags.override(config, {"planner.name": planner})
  title = f"Config of {algo} with --preset={preset} (presets: {', '.join(known)}):\n"
  return title + config_flags.describe(config_flags.fields(config))


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Trains, or continues to train; returns the exit status."""
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
  state = task.init()
  start = saved_step(folder) if options.step is None else options.step
  outcome = loop.train(
    task.step(),
    state,
    folder,
    schedule,
    seeds=task.seeds,
    rest=task.rest(start),
    envs=task.envs,
    evaluate=make_evaluator(task, state, console) if schedule.evaluates else None,
    resume=False if not options.resume else True if options.step is None else options.step,
    tracker=_tracker(folder, options.wandb) if options.wandb else None,
  )
  finish(folder, task, outcome, console, video=options.video)
  return 130 if outcome.signal == signal.SIGINT else 0


def saved_step(folder: run_folder.RunFolder) -> int:
  """Returns the step of the newest checkpoint, 0 without any."""
  return max(Checkpoints(folder.checkpoints).steps(), default=0)


def _check_wandb() -> None:
  """Refuses --wandb where it is not installed, before there is a folder."""
  try:
    import_extra("wandb")
  except ImportError as error:
    raise cli.UsageError(f"--wandb: {error}") from error


def _tracker(folder: run_folder.RunFolder, project: str) -> wandb_tracker.WandbTracker:
  try:
    return wandb_tracker.WandbTracker(folder, project)
  except ValueError as error:
    raise cli.UsageError(f"--wandb: {error}") from error


@contextlib.contextmanager
def open_job(
  options: flags.FlagValues, dotted: cli.Dotted
) -> Iterator[tuple[run_folder.RunFolder, job.Job]]:
  """Builds a job and creates its run folder, or opens the run to resume; holds the folder."""
  if options.step is not None and not options.resume:
    raise cli.UsageError("--step says where to resume: add --resume.")
  if not options.resume:
    task = job.build(_settings(options, dotted, {}), options.devices)
    job.check_evaluations(task)
    names = [options.algo, env_reference.label(options.env), f"seed{options.seed}"]
    path = options.logdir or "runs/" + "_".join(names)
    with run_folder.new_run(path, task.settings) as folder:
      yield folder, task
    return
  if options.logdir is None:
    raise cli.UsageError("--resume needs --logdir, the folder of the run to continue.")
  folder = run_folder.open_run(options.logdir)
  with job.of_file(folder):
    job.config_of(folder.config())
  settings = _settings(options, dotted, folder.config())
  task = job.build(settings, options.devices)
  resume_config.check_config(folder, task.settings, task.grows)
  with lock.writing(folder.path):
    if not folder.checkpoints.exists():  # a run that was killed before starts over
      run_folder.write_versions(folder)
    if options.step is None:  # also checked when it is read, but that is after compiling
      audit.check(folder)
    resume_config.extend(folder, task.settings, task.grows, options.step)
    yield folder, task


def _settings(
  options: flags.FlagValues, dotted: cli.Dotted, stored: dict[str, Any]
) -> job.Settings:
  """Resolves flags to settings; on resuming, what was not typed is as it is stored."""
  chosen = {name: getattr(options, name) for name in STORED}
  chosen |= {k: stored[k] for k in STORED if k in stored and not options[k].present}
  if stored and not options["preset"].present:
    chosen["preset"] = stored.get("preset", chosen["preset"])
  if chosen["env"] == stored.get("env"):
    env_reference.check_unchanged(chosen["env"], stored)
  settings = job.make_settings(
    **chosen,
    env_overrides={**run_folder.flat(stored.get("env_overrides", {})), **dotted["env"]},
    config_overrides=dotted["config"],
    stored=run_folder.flat(stored.get("config", {})),
  )
  return settings


def make_schedule(options: flags.FlagValues, task: job.Job) -> loop.Schedule:
  """Says when a run is evaluated and saved."""
  return loop.Schedule(
    total_steps=task.total_steps,
    total_episodes=task.algorithm.budget.episodes,
    eval_every=task.settings["eval_every"],
    eval_steps=task.settings["eval_steps"],
    checkpoint_every=options.checkpoint_every or 1,
    checkpoint_steps=0 if options.checkpoint_every else task.checkpoint_steps,
    grows=task.grows,
    keep=options.keep,
    keep_rollouts=options.rollouts,
  )


def make_evaluator(
  task: job.Job, state: TrainState, console: rich.console.Console
) -> Callable[[TrainState, int], np.ndarray]:
  """Compiles evaluation rollouts whose randomness depends on seed and step alone."""
  rollout, seconds = task.evaluation(task.settings["eval_episodes"], state)
  console.print(f"compiled the evaluation in {seconds:.1f} s", markup=False)
  # Far from the seeds of training, so that no evaluation repeats a training episode.
  base = 1_000_003 * (task.settings["seed"] + 1)
  return lambda state, step: job.returns(rollout(state, jax.random.key((base + step) % 2**31)))


def finish(
  folder: run_folder.RunFolder,
  task: job.Job,
  outcome: loop.Outcome,
  console: rich.console.Console,
  *,
  video: bool,
) -> None:
  """Draws, films, prints the results and what can be done next."""
  path = shlex.quote(str(folder.path))
  # Among other devices the same sums are rounded otherwise.
  devices = f" --devices={task.mesh.shape['seeds']}" if task.mesh else ""
  resume = f"python -m experiments.train --logdir={path} --resume{devices}"
  if outcome.signal is not None:
    name = signal.Signals(outcome.signal).name
    console.print(f"stopped by {name} at step {outcome.step}, saved.", markup=False)
    console.print(f"resume:   {resume}", markup=False)
    return
  rows = read_table(folder.metrics, ("return", "random")) if folder.metrics.exists() else []
  written = pictures.draw_run(folder, task.env.spec)
  if video:
    written += pictures.film_last(folder, task.env, task.seeds, console)
  console.print(_results(rows))
  # An episode that has not ended has no row yet.
  tables = [folder.metrics] if rows else []
  for file in [*written, *tables, *sorted(folder.path.glob("logs*"))]:
    console.print(f"wrote     {file}", markup=False)
  console.print(f"resume:   {resume}", markup=False)
  for program in ("evaluate", "render"):
    text = f"{program + ':':9} python -m experiments.{program} --run={path}"
    console.print(text, markup=False)


def _results(rows: list[dict[str, float]]) -> rich.table.Table:
  table = rich.table.Table(title="results", title_justify="left")
  for name in (
    "seed",
    "trials",
    "steps",
    "first return",
    "last return",
    "best return",
    "at step",
  ):
    table.add_column(name, justify="right")
  for seed in sorted({row.get("seed", -1) for row in rows}):
    trials = [row for row in rows if row.get("seed", -1) == seed and not row["random"]]
    if not trials:
      continue
    best = max(trials, key=lambda row: row["return"])
    returns = [f"{row['return']:.2f}" for row in (trials[0], trials[-1], best)]
    steps = [f"{row['step']:.0f}" for row in (trials[-1], best)]
    name = "-" if seed < 0 else f"{seed:.0f}"
    table.add_row(name, str(len(trials)), steps[0], *returns, steps[1])
  return table


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "", more_help)
