r"""Trains all combinations of given values, several runs at a time.

  python -m experiments.sweep --algo=sac --env=pendulum --seeds=3 --logdir=runs/sweep \
    --sweep.agent.learning_rate=3e-4,1e-3 --sweep.agent.updates_per_step=1,2 --jobs=2
  python -m experiments.sweep --logdir=runs/nets --sweep.model.hidden='(64,64);(200,200)'
  python -m experiments.sweep --logdir=runs/all --sweep.algo=sac,mbpo --sweep.env=ant,hopper
  python -m experiments.sweep --logdir=runs/noise --sweep.env.action_noise=0,0.1 --backend=ray

--sweep.NAME lists values of a config field; --sweep.env.NAME lists values of an argument of
the task; --sweep.algo, .env, .preset and .physics list values of these flags. Values are
separated by commas outside brackets or, if there is a semicolon, by semicolons only. All other
flags, --config.NAME and --env.NAME are those of experiments.train and apply to every run.

The seeds of a combination train together. Combinations whose compiled programs are equal, since
they differ only in numbers that are data of the program (most floats of a config), train in
one process, at most --together of them. Their results differ from those of separate processes
by rounding; --together=1 avoids that.

Each run has a folder below --logdir, named by its values, and a .log file of its output; other
output of a shared process is in NAME_and_N_more.log. Ctrl-C saves and stops the runs, a second
Ctrl-C kills them. The same command skips finished runs and resumes the others; a failed run
does not stop the sweep. The results are written to sweep.csv and sweep.png. Only one sweep can
use a --logdir, and its runs never outlive it.

Exit status: 0 all runs are done; 1 some failed; 130 stopped by Ctrl-C, 143 by SIGTERM, 129 by
SIGHUP; 2 wrong usage.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import rich.console
from absl import flags

from experiments import init_policy, job
from experiments.command_line import cli, outputs
from experiments.sweep import grid, processes, programs, ray_tasks, results, schedule
from experiments.train import options as train_options
from mbrl_jax.runtime.storage import lock, resume_config, run_folder
from mbrl_jax.runtime.training.interrupt import Interrupt

BACKENDS: dict[str, Callable[[flags.FlagValues], schedule.Backend]] = {
  "processes": lambda options: processes.Processes(options.jobs),
  "ray": lambda options: ray_tasks.RayTasks(options.jobs, options.ray_address),
}
OWN = ("logdir", "resume", "step")
"""Flags of ``experiments.train`` that the sweep sets for each run."""


def define() -> None:
  """Defines the flags: those of ``experiments.train`` and of the sweep."""
  train_options.define()
  for name in OWN:
    delattr(flags.FLAGS, name)
  flags.adopt_module_key_flags(train_options)  # so that --help lists them
  flags.DEFINE_string("logdir", None, "Parent folder of the run folders (required).")
  flags.DEFINE_integer("jobs", 1, "Processes at a time, which share cores and accelerators.", 1)
  flags.DEFINE_integer(
    "together",
    8,
    "Maximum combinations with equal programs per process; with --wandb or --devices always 1.",
    1,
  )
  flags.DEFINE_enum(
    "backend", "processes", list(BACKENDS), "How to start processes; ray needs the extra 'ray'."
  )
  flags.DEFINE_string(
    "ray_address",
    None,
    "Running Ray cluster (auto, or host:port); its machines must have the working folder, "
    "Python and --logdir at the same paths. Default: a local Ray.",
  )


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Trains all combinations; returns the exit status."""
  console = cli.console(width=160)  # wide enough that the table does not wrap in a file
  # This process trains nothing and leaves the accelerator's memory to the runs.
  jax.config.update("jax_platforms", "cpu")
  if options.ray_address and options.backend != "ray":
    raise cli.UsageError("--ray_address requires --backend=ray.")
  folder = _check_logdir(options)
  cells = grid.cells(dotted, _settings_flags(options, dotted))
  tasks = [_job(folder, cell) for cell in cells]
  runs = [
    schedule.Run(
      cell.name,
      _run_folder(folder, cell),
      task.total_steps,
      task.algorithm.budget.episodes * len(task.seeds or [0]),
    )
    for cell, task in zip(cells, tasks, strict=True)
  ]
  backend = BACKENDS[options.backend](options)
  folder.mkdir(parents=True, exist_ok=True)
  console.print(
    f"{len(runs)} runs in {folder}, {options.jobs} processes at a time", markup=False
  )
  try:
    with lock.writing(folder), Interrupt() as interrupt:
      _mark_done(runs, console)
      groups = _groups(runs, cells, tasks, options, console)
      schedule.run_groups(groups, backend, options.jobs, console, lambda: interrupt)
  except KeyboardInterrupt:
    print("killed; the same command resumes from the last checkpoints", file=sys.stderr)
    return 128 + signal.SIGINT
  finally:
    backend.close()
  _report(folder, runs, cells, console)
  if interrupt:
    console.print("stopped; the same command resumes", markup=False)
    return 128 + interrupt.signal
  return 0 if all(run.status == schedule.DONE for run in runs) else 1


def _check_logdir(options: flags.FlagValues) -> Path:
  if options.logdir is None:
    raise cli.UsageError("--logdir is missing: a folder for the runs, such as runs/sweep.")
  folder = outputs.check_folder(Path(options.logdir), "--logdir")
  if folder.exists() and not folder.is_dir():
    raise cli.UsageError(f"--logdir={options.logdir} is a file, not a folder.")
  if (folder / "config.json").exists():
    raise cli.UsageError(
      f"--logdir={options.logdir} is a run folder; give the parent folder of the sweep's runs."
    )
  return folder


def _settings_flags(options: flags.FlagValues, dotted: cli.Dotted) -> dict[str, object]:
  """Returns the arguments of ``run_settings.make_settings`` that all runs share."""
  for name in grid.FLAGS:
    if name in dotted["sweep"] and options[name].present:
      raise cli.UsageError(f"--{name} and --sweep.{name} exclude each other.")
  if options.seeds % options.devices:
    raise cli.UsageError(
      f"--devices={options.devices} does not divide --seeds={options.seeds}: each device "
      "trains the same number of seeds."
    )
  return {name: getattr(options, name) for name in train_options.STORED}


def _run_folder(folder: Path, cell: grid.Cell) -> run_folder.RunFolder:
  return run_folder.RunFolder(folder / cell.name)


def _job(folder: Path, cell: grid.Cell) -> job.Job:
  """Builds the job of a combination and checks it against the stored run, if there is one."""
  place = _run_folder(folder, cell)
  begun = (place.path / "config.json").exists()
  # A longer run keeps the evaluation interval of the run that it extends.
  stored = place.config() if begun else {}
  kept = {name: stored[name] for name in train_options.EVALUATION if name in stored}
  # Shapes do not depend on the simulator, and this process may not have that of the runs.
  try:
    task = job.build({**kept, **cell.settings, "physics": "auto"})
  except cli.UsageError as error:
    raise grid.swept_error(error, cell.values) from error
  task = task._replace(settings={**task.settings, "physics": cell.settings["physics"]})
  if begun:
    resume_config.check_config(place, task.settings, task.grows)
  else:
    run_folder.check_free(place.path)
    job.check_evaluations(task)
    init_policy.find(task)
  return task


def _mark_done(runs: list[schedule.Run], console: rich.console.Console) -> None:
  """Sets the status of runs that an earlier call finished, and prints them."""
  for run in runs:
    if run.complete:
      run.status = schedule.DONE
      console.print(f"done before   {run.name}", markup=False)


def _groups(
  runs: list[schedule.Run],
  cells: list[grid.Cell],
  tasks: list[job.Job],
  options: flags.FlagValues,
  console: rich.console.Console,
) -> list[schedule.Group]:
  """Groups unfinished runs by program; makes one process for each group."""
  # Weights & Biases allows one run per process; devices are shared by the seeds of one run.
  most = 1 if options.wandb or options.devices > 1 else options.together
  left = {
    run.name: (run, cell, task)
    for run, cell, task in zip(runs, cells, tasks, strict=True)
    if run.status != schedule.DONE
  }
  grouped = programs.group_runs(
    [(run, task) for run, _, task in left.values()], most, options.jobs, console
  )
  return [
    _group_process(group, [left[run.name][2] for run in group], options)
    if len(group) > 1
    else _single_process(group[0], left[group[0].name][1], options)
    for group in grouped
  ]


def _single_process(
  run: schedule.Run, cell: grid.Cell, options: flags.FlagValues
) -> schedule.Group:
  """Makes the process of one run: ``experiments.train``."""
  own = (*grid.FLAGS, "seed", "seeds", "envs")
  words = [f"--{name}={cell.flags[name]}" for name in own] + _typed(options)
  words += [
    f"--{group}.{name}={value}"
    for group in ("config", "env")
    for name, value in cell.dotted[group].items()
  ]
  known = (run.folder.path / "config.json").exists()
  words += [f"--logdir={run.folder.path}", *(["--resume"] if known else [])]
  return schedule.Group([run], [sys.executable, "-m", "experiments.train", *words], run.log)


def _group_process(
  runs: list[schedule.Run], tasks: list[job.Job], options: flags.FlagValues
) -> schedule.Group:
  """Creates the folders of runs with one program, and the process that trains them."""
  for run, task in zip(runs, tasks, strict=True):
    if not (run.folder.path / "config.json").exists():
      run_folder.create(run.folder.path, task.settings)
    else:
      resume_config.extend(run.folder, task.settings, task.grows)
  words = [*(f"--runs={run.folder.path}" for run in runs), *_typed(options)]
  program = [sys.executable, "-m", "experiments.sweep.run_group", *words]
  log = runs[0].log.with_name(f"{runs[0].name}_and_{len(runs) - 1}_more.log")
  return schedule.Group(runs, program, log)


def _typed(options: flags.FlagValues) -> list[str]:
  """Returns the given flags of ``experiments.train`` that a run's settings do not hold."""
  return [
    flag.serialize()
    for flag in options.get_flags_for_module(train_options.__name__)
    if flag.present and flag.name not in (*grid.FLAGS, "seed", "seeds", "envs")
  ]


def _report(
  folder: Path,
  runs: list[schedule.Run],
  cells: list[grid.Cell],
  console: rich.console.Console,
) -> None:
  """Prints and writes the results of the runs."""
  names = list(cells[0].values)
  rows = results.rows(runs, {cell.name: cell.values for cell in cells})
  console.print(results.show(rows, names))
  drawn = results.draw(folder / "sweep.png", runs)
  for path in filter(None, (results.write(folder / "sweep.csv", rows, names), drawn)):
    console.print(f"wrote {path}", markup=False)
  for line in results.failures(runs):
    print(f"failed: {line}", file=sys.stderr)


if __name__ == "__main__":
  cli.run(
    main, define, __doc__ or "", train_options.more_help, groups=("sweep", "config", "env")
  )
