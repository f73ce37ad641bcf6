"""Evaluates the policy or planner of a run in new episodes, without exploration.

  python -m experiments.evaluate --run=runs/demo
  python -m experiments.evaluate --run=runs/demo --episodes=50 --best

Prints statistics of the returns for each trained seed and writes evaluation.json to the run
folder.
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


def define_choice() -> None:
  """Defines the flags that select the run and the checkpoint for ``restore``."""
  flags.DEFINE_string("run", None, "Folder of the run (required).")
  flags.DEFINE_integer("step", None, "Step of the checkpoint to restore. Default: the newest.")
  flags.DEFINE_bool("best", False, "Restore the checkpoint with the best return.")


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
  returns = np.atleast_2d(job.returns(rollout(restored.state, episodes_key(options.seed))))
  table = rich.table.Table(title=f"{options.episodes} episodes at step {restored.step}")
  for name in ("trained seed", "mean", "std", "median", "min", "max"):
    table.add_column(name, justify="right")
  trained = task.seeds or [task.settings["seed"]]
  for seed, values in zip(trained, returns.astype(np.float64), strict=True):
    columns = (np.mean, np.std, np.median, np.min, np.max)
    table.add_row(str(seed), *(f"{column(values):.2f}" for column in columns))
  console.print(table)
  files.write_json(
    out,
    {
      "step": restored.step,
      "seed": options.seed,
      "date": datetime.date.today().isoformat(),
      "returns": {str(s): r.tolist() for s, r in zip(trained, returns, strict=True)},
    },
  )
  console.print(f"wrote {out}", markup=False)
  return 0


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "")
