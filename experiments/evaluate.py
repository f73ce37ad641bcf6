"""Evaluates the policy or planner of a run in new episodes, without exploration.

  python -m experiments.evaluate --run=runs/demo
  python -m experiments.evaluate --run=runs/demo --episodes=50 --best

Prints statistics of the returns for each trained seed, with the success rate if the task
defines success, and writes evaluation.json to the run folder.
"""

from __future__ import annotations

import datetime

import numpy as np
import rich.console
import rich.table
from absl import flags

from experiments import job
from experiments.command_line import cli, outputs
from mbrl_jax.ops.key_stream import stream_key
from mbrl_jax.runtime.storage import files, run_folder
from mbrl_jax.runtime.storage.checkpoint import Checkpoints, Restored
from mbrl_jax.types import Key


def define() -> None:
  """Defines the flags."""
  define_choice()
  flags.DEFINE_integer("episodes", 10, "Episodes for each trained seed.", 1)
  flags.DEFINE_integer("seed", 0, "Seed of the episodes.", 0)


def define_choice(values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines the flags that select the run and the checkpoint for ``restore``."""
  here = {"flag_values": values}
  flags.DEFINE_string("run", None, "Folder of the run (required).", **here)
  flags.DEFINE_integer(
    "step", None, "Step of the checkpoint to restore. Default: the newest.", **here
  )
  flags.DEFINE_bool("best", False, "Restore the checkpoint with the best return.", **here)


def open_run(options: flags.FlagValues) -> run_folder.RunFolder:
  """Opens the folder of ``--run``."""
  if options.run is None:
    raise cli.UsageError("--run is missing: the folder of a run, such as --run=runs/demo.")
  if options.best and options.step is not None:
    raise cli.UsageError("--best and --step exclude each other.")
  return run_folder.open_run(options.run)


def restore(options: flags.FlagValues) -> tuple[run_folder.RunFolder, job.Job, Restored]:
  """Opens a run and restores the selected checkpoint; the job has the task of its step."""
  folder = open_run(options)
  task = job.build_run(folder)
  step = "best" if options.best else options.step
  restored = Checkpoints(folder.checkpoints).restore(task.init(), step)
  folder.check_config_of(restored.host)
  return folder, task.at(restored.step), restored


def episodes_key(seed: int) -> Key:
  """Returns the key of the episodes for ``--seed``; no training uses its stream."""
  return stream_key("evaluation", seed)


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Evaluates the run; returns the exit status."""
  cli.refuse(dotted)
  console = cli.console()
  out = outputs.check_file(open_run(options).path / "evaluation.json", "--run")
  _, task, restored = restore(options)
  rollout, seconds = task.evaluation(options.episodes, restored.state)
  console.print(f"compiled the evaluation in {seconds:.1f} s", markup=False)
  metrics = rollout(restored.state, episodes_key(options.seed))
  returns = np.atleast_2d(metrics["return"])
  success = np.atleast_2d(metrics["success"]) if "success" in metrics else None
  trained = task.seeds or [task.settings["seed"]]
  table = _table(trained, returns, success)
  table.title = f"{options.episodes} episodes at step {restored.step}"
  console.print(table)
  by_seed = lambda rows: {str(s): row.tolist() for s, row in zip(trained, rows, strict=True)}
  files.write_json(
    out,
    {
      "step": restored.step,
      "seed": options.seed,
      "date": datetime.date.today().isoformat(),
      "returns": by_seed(returns),
      **({} if success is None else {"success": by_seed(success)}),
    },
  )
  console.print(f"wrote {out}", markup=False)
  return 0


def _table(
  trained: list[int], returns: np.ndarray, success: np.ndarray | None
) -> rich.table.Table:
  """Returns a row of statistics for each trained seed."""
  table = rich.table.Table()
  names = ("trained seed", "mean", "std", "median", "min", "max")
  for name in names if success is None else (*names, "success"):
    table.add_column(name, justify="right")
  columns = (np.mean, np.std, np.median, np.min, np.max)
  for i, values in enumerate(returns.astype(np.float64)):
    rate = [] if success is None else [f"{success[i].mean():.0%}"]
    table.add_row(str(trained[i]), *(f"{column(values):.2f}" for column in columns), *rate)
  return table


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "")
