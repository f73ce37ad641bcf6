"""Plots and prints the results of a run."""

from __future__ import annotations

import shlex
import signal

import rich.console
import rich.table

from experiments import job
from mbrl_jax.runtime.storage import run_folder
from mbrl_jax.runtime.storage.csv_log import read_table
from mbrl_jax.runtime.training import loop


def finish(
  folder: run_folder.RunFolder,
  task: job.Job,
  outcome: loop.Outcome,
  console: rich.console.Console,
  *,
  video: bool,
) -> None:
  """Writes plots and the video, prints the results and the next commands."""
  from experiments.analysis import pictures  # loads matplotlib, which would delay --help

  path = shlex.quote(str(folder.path))
  # Another number of devices would round sums differently.
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
    written += pictures.film_last(folder, task.at(outcome.step).env, task.seeds, console)
  console.print(_results(rows))
  # A metrics file without rows is not listed: no episode has ended.
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
