"""Plots learning curves of several runs in one picture, or all plots of one run.

  python -m experiments.plot --runs runs/demo
  python -m experiments.plot --runs runs/a runs/b runs/c --group=config.model.kind
  python -m experiments.plot --runs runs/a runs/b --threshold=175 --out=curves.png
  python -m experiments.plot --runs runs/a runs/b --column=model/new_data_loss_after
  python -m experiments.plot --runs runs/a runs/b runs/c --group=algo --band=iqm
  python -m experiments.plot --band=iqm --table=pendulum:a=a.csv --table=pendulum:b=b.csv

One run: plots the learning curve, what the run reported while it trained (training.png), the
model error and, if the run stored predictions (--config.log_predictions=True), the particle fan
of every trial, into plots/ of the run.

Several runs: plots the mean of --column with a band of one standard deviation for each value
of --group, and prints a table with the best return, the mean return of the last five trials
and the number of trials to reach --threshold. --column is any column of metrics.csv or
evaluations.csv, such as return, success, eval/return, eval/success, model/kl or
model/new_data_loss_after; success is averaged over the last 20 episodes.

--band=iqm plots evaluations instead: the interquartile mean over the seeds of a group with its
95 % stratified bootstrap interval, one panel per task and, for several tasks, one over all;
--column=eval/success plots the success rate. The table then has the environment steps to reach
--threshold. --table=TASK:LABEL=FILE adds curves of other programs and may be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import rich.console
from absl import flags

from experiments import job
from experiments.analysis import curves, pictures, summary_table
from experiments.command_line import cli, outputs
from mbrl_jax.ops.validate import choice
from mbrl_jax.runtime.rendering import plots, training_plot
from mbrl_jax.runtime.storage import audit, run_folder
from mbrl_jax.runtime.storage.csv_log import EVALUATIONS, evaluations, read_table

LABELS = {"return": "return of an episode", "best": "running maximum of the return"}
BANDS = ("std", "iqm")


def define(values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines the flags."""
  here = {"flag_values": values}
  flags.DEFINE_multi_string("runs", [], "One or more run folders", **here)
  flags.DEFINE_list(
    "group", [], "Fields of config.json that label the curves, comma-separated.", **here
  )
  flags.DEFINE_float("threshold", None, "Return whose time to reach the table reports.", **here)
  flags.DEFINE_string(
    "column", "best", "Column of metrics.csv or evaluations.csv, for several runs.", **here
  )
  flags.DEFINE_enum(
    "band",
    "std",
    BANDS,
    "Curve and band of several runs. std: mean and standard deviation of --column; iqm: "
    "interquartile mean of the evaluations and its bootstrap interval.",
    **here,
  )
  flags.DEFINE_string(
    "out",
    None,
    "Image file; for one run, a folder. Default: comparison.png, or plots/ of the run.",
    **here,
  )
  flags.DEFINE_multi_string(
    "table",
    [],
    "TASK:LABEL=FILE, a CSV file of evaluations (columns step, seed, eval/return or "
    "eval/success) to add with --band=iqm",
    **here,
  )
  flags.DEFINE_string("title", "", "Title of the picture.", **here)


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Plots the runs; returns the exit status."""
  cli.refuse(dotted)
  console = cli.console(width=120)  # wide enough that tables do not wrap in a file
  if options.table and options.band != "iqm":
    raise cli.UsageError("--table requires --band=iqm.")
  if not options.runs and not options.table:
    raise cli.UsageError("--runs is missing: one or more run folders.")
  folders = [run_folder.open_run(path) for path in options.runs]
  for folder in folders:
    if not folder.metrics.exists():
      raise cli.UsageError(f"{folder.path} has no metrics.csv yet: no episode has ended.")
    audit.check(folder, "metrics.csv", EVALUATIONS)
  if options.band == "iqm":
    drawn = _plot_evaluations(folders, options, console)
  elif len(folders) == 1 and not options.group:
    drawn = _plot_run(folders[0], options)
  else:
    drawn = _plot_column(folders, options, console)
  for path in drawn:
    console.print(f"wrote {path}", markup=False)
  return 0


def _plot_run(folder: run_folder.RunFolder, options: flags.FlagValues) -> list[Path]:
  """Draws all plots of one run."""
  for name in ("threshold", "column", "title"):
    if options[name].present:
      raise cli.UsageError(f"--{name} applies to several runs; for one, add --group=algo.")
  out = outputs.check_folder(Path(options.out) if options.out else folder.plots)
  with job.of_file(folder):  # of any version: no checkpoint is read
    spec = job.build(folder.config()).env.spec
  drawn = pictures.draw_run(folder, spec, out)
  for source in sorted(folder.predictions.glob("*.npz")):
    drawn += [p for p in pictures.draw_predictions(source, out, spec.dt) if p not in drawn]
  return drawn


def _plot_column(
  folders: list[run_folder.RunFolder], options: flags.FlagValues, console: rich.console.Console
) -> list[Path]:
  """Draws the mean of ``--column`` for each group and prints the table."""
  out = _check_out(options)
  groups: plots.Curves = {}
  returns: summary_table.Trials = {}
  for folder in folders:
    rows = read_table(folder.metrics, ("return", "random"))
    evaluated = evaluations(folder.path)
    columns = {name for row in [*rows, *evaluated] for name in row} - {"step", "seed"}
    _choose(folder, "--column", options.column, sorted(columns))
    name, envs = label(folder, options.group), folder.config().get("envs", 1)
    table = evaluated if options.column.startswith("eval/") else rows
    found = training_plot.column_curves(table, options.column, envs)
    groups.setdefault(name, []).extend(found)
    returns.setdefault(name, []).extend(summary_table.trials(rows))
  rows = summary_table.summarise(returns, options.threshold)
  console.print(summary_table.show(rows, options.threshold))
  text = LABELS.get(options.column) or training_plot.label_of(options.column)
  all_curves = [curve for group in groups.values() for curve in group]
  log = training_plot.is_logarithmic(options.column, all_curves)
  picture = plots.comparison(out, groups, text, options.title, log)
  return [picture, summary_table.write(out.with_suffix(".csv"), rows)]


def _check_out(options: flags.FlagValues) -> Path:
  """Returns the image file; checks that it and the CSV file of its name can be written."""
  out = outputs.check_file(Path(options.out or "comparison.png"), suffixes=outputs.PICTURES)
  outputs.check_file(out.with_suffix(".csv"))
  return out


def _plot_evaluations(
  folders: list[run_folder.RunFolder], options: flags.FlagValues, console: rich.console.Console
) -> list[Path]:
  """Draws the interquartile mean of evaluations for each group and prints the table."""
  column = options.column if options["column"].present else "eval/return"
  if column not in (known := [f"eval/{name}" for name in curves.EVALUATED]):
    raise cli.UsageError(
      f"--column={column}: --band=iqm plots evaluations, {' or '.join(known)}; --band=std "
      "plots any column."
    )
  column, out = column.removeprefix("eval/"), _check_out(options)
  groups: curves.Groups = {}
  for folder in folders:
    groups.setdefault(label(folder, options.group), []).extend(curves.read(folder, column))
  for text in options.table:
    name, found = _read_table(text, column)
    groups.setdefault(name, []).extend(found)
  for name, group in groups.items():
    if not group:
      raise cli.UsageError(f"{name} has no evaluations yet.")
  rows = curves.table(groups, options.threshold)
  console.print(curves.show(rows, options.threshold))
  picture = curves.draw(out, groups, options.title, column)
  return [picture, curves.write(out.with_suffix(".csv"), rows)]


def _read_table(text: str, column: str) -> tuple[str, list[curves.Curve]]:
  """Reads the label and the curves of an entry of ``--table``."""
  title, _, path = text.partition("=")
  task, _, name = title.partition(":")
  if not (task and name and path):
    raise cli.UsageError(f"--table={text!r} must have the form TASK:LABEL=FILE.")
  try:
    return name, curves.read_csv(Path(path), task, column)
  except (OSError, ValueError, run_folder.RunFolderError) as error:
    raise cli.UsageError(f"--table={text}: {error}") from error


def label(folder: run_folder.RunFolder, group: list[str]) -> str:
  """Labels the curve of a run by fields of its config, by default by its folder."""
  if not group:
    return folder.path.name
  fields = run_folder.flat(folder.config())
  for name in group:
    _choose(folder, "--group", name, fields)
  if len(group) == 1:
    return f"{group[0].rpartition('.')[2]} {fields[group[0]]}"
  return " ".join(str(fields[name]) for name in group)


def _choose(folder: run_folder.RunFolder, flag: str, value: str, valid: Iterable[str]) -> None:
  try:
    choice(flag, value, valid)
  except ValueError as error:
    raise cli.UsageError(f"{folder.path}: {error}") from error


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "", repeated="runs")
