"""Creates or opens the run to train; builds its schedule and its evaluation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import rich.console
from absl import flags

from experiments import init_policy, job, run_settings
from experiments.command_line import cli, env_reference
from experiments.train.options import STORED
from mbrl_jax.runtime.storage import audit, lock, resume_config, run_folder
from mbrl_jax.runtime.storage.checkpoint import Checkpoints
from mbrl_jax.runtime.training import loop
from mbrl_jax.types import Metrics, TrainState


@contextlib.contextmanager
def open_job(
  options: flags.FlagValues, dotted: cli.Dotted
) -> Iterator[tuple[run_folder.RunFolder, job.Job]]:
  """Builds a job and creates its run folder, or opens the run to resume; locks the folder.

  Raises:
    UsageError: flags conflict or hold invalid settings.
    RunFolderError: the folder exists, or the run to resume has other settings.
  """
  if options.step is not None and not options.resume:
    raise cli.UsageError("--step requires --resume.")
  if not options.resume:
    task = job.build(_settings(options, dotted, {}), options.devices)
    job.check_evaluations(task)
    init_policy.find(task)  # refuses before a folder is created
    names = [options.algo, env_reference.label(options.env), f"seed{options.seed}"]
    path = options.logdir or "runs/" + "_".join(names)
    with run_folder.new_run(path, task.settings) as folder:
      yield folder, task
    return
  if options.logdir is None:
    raise cli.UsageError("--resume needs --logdir, the folder of the run to continue.")
  folder = run_folder.open_run(options.logdir)
  with job.of_file(folder):
    job.check_version(folder)
    run_settings.config_of(folder.config())
  settings = _settings(options, dotted, folder.config())
  task = job.build(settings, options.devices)
  resume_config.check_config(folder, task.settings, task.grows)
  with lock.writing(folder.path):
    if not folder.checkpoints.exists():  # killed before the first checkpoint: starts over
      run_folder.write_versions(folder)
    if options.step is None:  # before compiling; the restore checks again
      audit.check(folder)
    resume_config.extend(folder, task.settings, task.grows, options.step)
    yield folder, task


def _settings(
  options: flags.FlagValues, dotted: cli.Dotted, stored: dict[str, Any]
) -> run_settings.Settings:
  """Resolves flags to settings; on resuming, stored ones replace flags that are not given."""
  chosen = {name: getattr(options, name) for name in STORED}
  chosen |= {k: stored[k] for k in STORED if k in stored and not options[k].present}
  if stored and not options["preset"].present:
    chosen["preset"] = stored.get("preset", chosen["preset"])
  if chosen["env"] == stored.get("env"):
    env_reference.check_unchanged(chosen["env"], stored)
  return run_settings.make_settings(
    **chosen,
    env_overrides={**run_folder.flat(stored.get("env_overrides", {})), **dotted["env"]},
    config_overrides=dotted["config"],
    stored=run_folder.flat(stored.get("config", {})),
  )


def saved_step(folder: run_folder.RunFolder) -> int:
  """Returns the step of the newest checkpoint, 0 if there is none."""
  return max(Checkpoints(folder.checkpoints).steps(), default=0)


def make_schedule(options: flags.FlagValues, task: job.Job) -> loop.Schedule:
  """Makes the schedule of evaluations and checkpoints."""
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
  task: job.Job, state: TrainState, console: rich.console.Console, start: int = 0
) -> Callable[[TrainState, int], Metrics]:
  """Compiles ``(state, step) -> metrics``; its random numbers depend on seed and step only.

  Args:
    task: the job.
    state: its initial state.
    console: prints the compile times.
    start: environment steps already taken. Evaluations of later phases are compiled when the
      first is due.
  """
  rollouts: dict[int, Any] = {}

  def rollout_at(step: int) -> Any:
    own = task.at(step)
    if id(own.env) not in rollouts:
      compiled, seconds = own.evaluation(own.settings["eval_episodes"], state)
      console.print(f"compiled the evaluation in {seconds:.1f} s", markup=False)
      rollouts[id(own.env)] = compiled
    return rollouts[id(own.env)]

  # Far from the training seeds, so that no evaluation repeats a training episode.
  base = 1_000_003 * (task.settings["seed"] + 1)

  def evaluate(state: TrainState, step: int) -> Metrics:
    return rollout_at(step)(state, jax.random.key((base + step) % 2**31))

  rollout_at(start + 1)
  return evaluate
