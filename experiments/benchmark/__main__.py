"""Measures speed and memory, beside other libraries where they are installed.

  python -m experiments.benchmark --what=peak,plan,fit,memory,env
  python -m experiments.benchmark --what=peak,plan,fit --peer=mbrl --peer_python=PYTHON
  python -m experiments.benchmark --what=mppi --peer=pytorch_mppi --peer_python=PYTHON
  python -m experiments.benchmark --what=mjx --peer=hydrax --peer_python=PYTHON
  python -m experiments.benchmark --what=sac,train --peer=sb3 --peer_python=PYTHON   # or sbx
  python -m experiments.benchmark --what=envs --envs=hopper,ant --engines=mujoco,mjx
  python -m experiments.benchmark --what=sweep --plans=500,1000,2000 --nets=5x200x4,5x500x3
  python -m experiments.benchmark --what=sweep --setting=halfcheetah --devices=1

What is measured:
  peak    the ceiling of the fractions below: float32 multiply-adds of all of a CPU's cores
  plan    one PETS planning step (default: the original's cart-pole setting, 1,014 GFLOP)
  fit     one training call of the ensemble
  memory  what planning needs above the process' start, and whether new parameters compile
  env     environment steps per second, one at a time
  envs    the same of all MuJoCo tasks in batches of 1, 64 and 1024, beside bare mujoco.rollout
  mppi    one command of MPPI on the pendulum, with the return of the episodes
  mjx     one replan of MPPI on a pendulum and a planar particle simulated by MuJoCo
  collect steps per second of the training step but for its gradient steps, beside bare MuJoCo's
  train   environment steps per second of soft actor-critic in 64 environments
  sac     gradient steps of soft actor-critic, of one seed and of eight at once
  sweep   the planning step over sizes, precisions and devices

The sweep takes one axis at a time: the first value of each of --plans, --particles,
--horizon, --nets, --dtypes and --devices makes the centre, and every further value one row
with the others at the centre. Each row has a process of its own; one that runs out of memory
or of --row_seconds says so. On CPUs, --devices are parts of it that jax is told to see, and the
peak is that of float32; elsewhere it is a large matrix product's of the row's precision. Rows
go to --out_sweep.json, .csv and .png as they come; Ctrl-C keeps those that are there.

Libraries run in processes of their own and take turns, round by round, so that the ratios
come from one run: machines are noisy, only such ratios count. The table, and every single
round, go to --out.json and --out.csv. Smaller jobs: --plans=100 --hidden=200,200.

python -m experiments.benchmark.peers.install installs the other libraries and prints the
--peer_python of each.
"""

from __future__ import annotations

import dataclasses
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import rich.console
from absl import flags

from experiments.benchmark import grid, options, picture
from experiments.benchmark.measures import (
  collect,
  env,
  envs,
  fit,
  memory,
  mjx,
  mppi,
  peak,
  plan,
  sac,
  sweep,
  train,
)
from experiments.benchmark.peers.sizes import Sizes
from experiments.benchmark.peers.worker import WorkerError
from experiments.benchmark.request import Request
from experiments.benchmark.results import Report, show, write
from experiments.command_line import cli, outputs
from mbrl_jax.runtime.training.interrupt import Interrupt

MEASURES: dict[str, Callable[[Report, Request], None]] = {
  "peak": peak.measure,
  "plan": plan.measure,
  "fit": fit.measure,
  "memory": memory.measure,
  "env": env.measure,
  "envs": envs.measure,
  "mppi": mppi.measure,
  "mjx": mjx.measure,
  "sac": sac.measure,
  "collect": collect.measure,
  "train": train.measure,
}
WHAT = (*MEASURES, "sweep")
DEFAULT = ("peak", "plan", "fit", "memory", "env")


def define() -> None:
  """Defines the flags."""
  options.define(WHAT, DEFAULT)
  flags.adopt_module_key_flags(options)  # or --help would leave them out


def main(values: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Measures what the flags ask for, shows and writes it; returns the exit status."""
  cli.refuse(dotted)
  console = cli.console()
  options.check(values, WHAT)
  request = options.request(values)
  axes = options.axes(values) if "sweep" in values.what else None
  for suffix in (".json", ".csv", *(["_sweep.png"] if axes else [])):
    outputs.check_file(Path(f"{values.out}{suffix}"))
  try:
    request.check_peer()
    _measure(values, request, console)
    stopped = _sweep(values, request.sizes, axes, console) if axes else None
  except WorkerError as error:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return 1
  except KeyboardInterrupt:
    print("interrupted", file=sys.stderr)
    return 128 + signal.SIGINT
  return 128 + stopped if stopped else 0


def _measure(values: flags.FlagValues, request: Request, console: rich.console.Console) -> None:
  """Measures all but the sweep; what was measured is written even if the rest fails."""
  report = Report()
  try:
    for what in values.what:
      if what in MEASURES:
        MEASURES[what](report, request)
  finally:
    if report.rows:
      show(report, console)
      for path in write(report, request.sizes, values.out):
        console.print(path, markup=False)


def _sweep(
  values: flags.FlagValues, sizes: Sizes, axes: options.Axes, console: rich.console.Console
) -> signal.Signals | None:
  """Sweeps, and draws what was measured; returns the signal that ended it early."""
  out = f"{values.out}_sweep"
  job = sweep.Sweep(sizes, grid.cells(axes), values.row_seconds, out)
  with Interrupt() as interrupt:
    rows, device = sweep.measure(job, console, lambda: interrupt)
    if rows:
      centre = dataclasses.asdict(job.cells[0])
      title = f"{values.setting}, {sizes.iterations} iterations, {device['kind']}"
      drawn = picture.draw(f"{out}.png", rows, centre, title)
      for path in filter(None, (*sweep.write(job, rows, device), drawn)):
        console.print(path, markup=False)
    return interrupt.signal


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "")
