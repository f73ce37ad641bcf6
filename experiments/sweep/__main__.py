r"""Trains every combination of some values, several runs side by side.

  python -m experiments.sweep --algo=sac --env=pendulum --seeds=3 --logdir=runs/sweep \
    --sweep.agent.learning_rate=3e-4,1e-3 --sweep.agent.updates_per_step=1,2 --jobs=2
  python -m experiments.sweep --logdir=runs/nets --sweep.model.hidden='(64,64);(200,200)'
  python -m experiments.sweep --logdir=runs/all --sweep.algo=sac,mbpo --sweep.env=ant,hopper
  python -m experiments.sweep --logdir=runs/noise --sweep.env.action_noise=0,0.1 --backend=ray

--sweep.NAME takes the values of a field of the config, with env.NAME those of an argument of
the task, or those of algo, env, preset or physics. They are parted by commas; commas inside
brackets do not part, and where there is a semicolon only semicolons do. All other flags, and
--config.NAME and --env.NAME, are those of experiments.train and go to every run. The seeds of
a combination train together in its run; and combinations that differ in nothing but numbers
that are data of the compiled program, which is nearly every float of a config, train as one,
up to --together of them in a process, each into its own folder (not bit for bit as alone:
--together=1 for that).

Each run has a folder below --logdir that is named by its values, and beside it a .log of what
it said (what a process of several says besides is in NAME_and_N_more.log). Ctrl-C asks the
runs to save and stop, a second one ends them. The same command again skips what is done and
resumes the rest; a run that failed does not keep the others. The table and the curves go to
sweep.csv and sweep.png.

One sweep at a time works in --logdir; its runs end with it, however it ends.

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

from experiments import job
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
"""Flags of ``experiments.train`` that a sweep sets itself."""


def define() -> None:
  """Defines the flags: those of ``experiments.train``, and how to run many."""
  train_options.define()
  for name in OWN:
    delattr(flags.FLAGS, name)
  flags.adopt_module_key_flags(train_options)  # or --help would leave them out
  flags.DEFINE_string("logdir", None, "Folder of the runs' folders (required).")
  flags.DEFINE_integer("jobs", 1, "Processes at a time. They share cores and accelerators.", 1)
  flags.DEFINE_integer(
    "together",
    8,
    "Combinations that one process trains at once at most, where their programs are the same; "
    "with --wandb or --devices each has a process of its own.",
    1,
  )
  flags.DEFINE_enum(
    "backend", "processes", list(BACKENDS), "What runs them; ray needs the extra 'ray'."
  )
  flags.DEFINE_string(
    "ray_address",
    None,
    "A running Ray cluster (auto, or host:port) whose machines see this folder, this Python "
    "and --logdir at the same paths. Default: a Ray of this machine alone.",
  )


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Trains all combinations; returns the exit status."""
  console = cli.console(width=160)  # nothing of the table is folded in a file
  # This process computes nothing: an accelerator's memory is for the runs.
  jax.config.update("jax_platforms", "cpu")
  if options.ray_address and options.backend != "ray":
    raise cli.UsageError("--ray_address goes with --backend=ray.")
  folder = _folder(options)
  cells = grid.cells(dotted, _settings_flags(options, dotted))
  tasks = [_task(folder, cell) for cell in cells]
  runs = [
    schedule.Run(
      cell.name,
      _place(folder, cell),
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
      _say_done(runs, console)
      groups = _groups(runs, cells, tasks, options, console)
      schedule.work(groups, backend, options.jobs, console, lambda: interrupt)
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


def _folder(options: flags.FlagValues) -> Path:
  if options.logdir is None:
    raise cli.UsageError("--logdir is missing: the folder for the runs, such as runs/sweep.")
  folder = outputs.check_folder(Path(options.logdir), "--logdir")
  if folder.exists() and not folder.is_dir():
    raise cli.UsageError(f"--logdir={options.logdir} is a file; a sweep needs a folder.")
  if (folder / "config.json").exists():
    raise cli.UsageError(
      f"--logdir={options.logdir} is the folder of a run; a sweep needs one for its runs."
    )
  return folder


def _settings_flags(options: flags.FlagValues, dotted: cli.Dotted) -> dict[str, object]:
  """Returns what all runs have in common of the arguments of ``run_settings.make_settings``."""
  for name in grid.FLAGS:
    if name in dotted["sweep"] and options[name].present:
      raise cli.UsageError(f"--{name} and --sweep.{name} give the same; drop one.")
  if options.seeds % options.devices:
    raise cli.UsageError(
      f"--devices={options.devices} does not divide --seeds={options.seeds}: each device "
      "trains its share of the seeds."
    )
  return {name: getattr(options, name) for name in train_options.STORED}


def _place(folder: Path, cell: grid.Cell) -> run_folder.RunFolder:
  return run_folder.RunFolder(folder / cell.name)


def _task(folder: Path, cell: grid.Cell) -> job.Job:
  """Builds the job of a combination, checked as far as that needs no training."""
  place = _place(folder, cell)
  begun = (place.path / "config.json").exists()
  # A longer run is evaluated as often as the run that it extends.
  stored = place.config() if begun else {}
  kept = {name: stored[name] for name in train_options.EVALUATION if name in stored}
  # Sizes are the same whatever simulates, and this process may lack what the runs have.
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
  return task


def _say_done(runs: list[schedule.Run], console: rich.console.Console) -> None:
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
  """Makes the processes for what is not done: those that share a program share one."""
  # Weights & Biases knows one run a process, and devices are shared by a run's own seeds.
  most = 1 if options.wandb or options.devices > 1 else options.together
  left = {
    run.name: (run, cell, task)
    for run, cell, task in zip(runs, cells, tasks, strict=True)
    if run.status != schedule.DONE
  }
  grouped = programs.same(
    [(run, task) for run, _, task in left.values()], most, options.jobs, console
  )
  return [
    _joint(group, [left[run.name][2] for run in group], options)
    if len(group) > 1
    else _lone(group[0], left[group[0].name][1], options)
    for group in grouped
  ]


def _lone(run: schedule.Run, cell: grid.Cell, options: flags.FlagValues) -> schedule.Group:
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


def _joint(
  runs: list[schedule.Run], tasks: list[job.Job], options: flags.FlagValues
) -> schedule.Group:
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
  """Writes the flags that were typed, but for those that a run's settings hold."""
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
  """Shows and writes what the runs came to."""
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
