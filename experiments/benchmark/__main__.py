"""Measures speed and memory, compared to other libraries where they are installed.

  python -m experiments.benchmark --what=peak,plan,fit,memory,env
  python -m experiments.benchmark --what=peak,plan,fit --peer=mbrl --peer_python=PYTHON
  python -m experiments.benchmark --what=mppi --peer=pytorch_mppi --peer_python=PYTHON
  python -m experiments.benchmark --what=mjx --peer=hydrax --peer_python=PYTHON
  python -m experiments.benchmark --what=sac,train --peer=sb3 --peer_python=PYTHON   # or sbx
  python -m experiments.benchmark --what=mbmf --dtypes=float32
  python -m experiments.benchmark --what=envs --envs=hopper,ant --engines=mujoco,mjx
  python -m experiments.benchmark --what=sweep --plans=500,1000,2000 --nets=5x200x4,5x500x3
  python -m experiments.benchmark --what=sweep --setting=halfcheetah --devices=1

Measurements:
  peak    float32 multiply-add peak of all cores, to which the fractions below refer
  plan    one PETS planning step (default: the original's cart-pole setting, 1,014 GFLOP)
  fit     one training call of the ensemble
  memory  peak memory of planning above the process' start, recompilation on new parameters
  env     steps per second of single environments
  envs    steps per second of all MuJoCo tasks in batches of 1, 64 and 1024, and of bare
          mujoco.rollout
  mppi    one call of an MPPI controller on the pendulum, and the return of the episodes
  mjx     one replan of MPPI on a pendulum and a planar particle simulated by MuJoCo
  collect steps per second of the training step without gradient steps, and of bare MuJoCo
  train   environment steps per second of soft actor-critic in 64 environments
  game    the parts of an iteration of PAL on hopper: time, imagined steps per second
  mbmf    a replan of MBMF on swimmer, beside numpy; an iteration of its TRPO and its parts
  sac     gradient steps per second of soft actor-critic, for one seed and for eight in parallel
  sweep   the planning step over sizes, precisions and devices

The sweep varies one axis at a time: the first values of --plans, --particles, --horizon,
--nets, --dtypes and --devices form the centre, and each further value is one row with the
other axes at the centre. Each row runs in its own process; a row that runs out of memory or
exceeds --row_seconds records that as its status. On CPUs, --devices splits the host into that
many jax devices and the peak is that of float32; on other devices the peak is that of a large
matrix product in the row's precision. Rows are written to OUT_sweep.json and OUT_sweep.csv as
they finish, and plotted to OUT_sweep.png; Ctrl-C keeps the finished rows.

Each library runs in its own process. Rounds are interleaved, so load on the machine affects all
libraries alike: compare ratios within one run, not times across runs. The table goes to
OUT.csv; OUT.json also holds every round. OUT is --out. Smaller jobs: --plans=100
--hidden=200,200.

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
  game,
  mbmf,
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
from experiments.benchmark.results import Report, print_table, write
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
  "game": game.measure,
  "mbmf": mbmf.measure,
}
WHAT = (*MEASURES, "sweep")
DEFAULT = ("peak", "plan", "fit", "memory", "env")


def define() -> None:
  """Defines the flags."""
  options.define(WHAT, DEFAULT)
  flags.adopt_module_key_flags(options)  # so that --help lists them


def main(values: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Runs the requested measurements; prints and writes the results; returns the exit status."""
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
  """Runs all measurements except the sweep; writes what was measured even on failure."""
  report = Report()
  try:
    for what in values.what:
      if what in MEASURES:
        MEASURES[what](report, request)
  finally:
    if report.rows:
      print_table(report, console)
      for path in write(report, request.sizes, values.out):
        console.print(path, markup=False)


def _sweep(
  values: flags.FlagValues, sizes: Sizes, axes: options.Axes, console: rich.console.Console
) -> signal.Signals | None:
  """Runs and plots the sweep; returns the signal that interrupted it, if any."""
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
