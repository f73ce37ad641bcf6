"""Draws the curves of several runs in one picture, or all pictures of one run.

  python -m experiments.plot --runs runs/demo
  python -m experiments.plot --runs runs/a runs/b runs/c --group=config.model.kind
  python -m experiments.plot --runs runs/a runs/b --threshold=175 --out=curves.png

One run: its learning curve, its model error and, where predictions were kept
(--config.log_predictions=True), the particle fan of every trial, into its plots/. Several:
one mean curve with a band of one standard deviation for each value of --group, and a
table of the best return, of the last five trials and of the trials that --threshold took.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import rich.console
from absl import flags

from experiments import command, job, pictures, summary
from mbrl_jax.ops.validate import choice
from mbrl_jax.runtime import plots, run_folder
from mbrl_jax.runtime.table import read_table

LABELS = {"return": "return of an episode", "best": "running maximum of the return"}


def define() -> None:
  """Defines the flags."""
  flags.DEFINE_multi_string("runs", [], "Folders of runs; may be followed by several.")
  flags.DEFINE_list("group", [], "Fields of config.json that label the curves, by commas.")
  flags.DEFINE_float("threshold", None, "Return of which the table tells when it was reached.")
  flags.DEFINE_string("column", "best", "Column of metrics.csv to draw of several runs.")
  flags.DEFINE_string(
    "out", None, "PNG file (one run: folder). Default: comparison.png, plots/."
  )
  flags.DEFINE_string("title", "", "Title of the picture.")


def main(options: flags.FlagValues, dotted: command.Dotted) -> int:
  """Draws; returns the exit status."""
  command.refuse(dotted)
  console = rich.console.Console(highlight=False, soft_wrap=True)
  if not options.runs:
    raise command.UsageError("--runs is missing: one or more folders of runs.")
  folders = [run_folder.open_run(path) for path in options.runs]
  for folder in folders:
    if not folder.metrics.exists():
      raise command.UsageError(f"{folder.path} has no metrics.csv yet: no episode has ended.")
  alone = len(folders) == 1 and not options.group
  drawn = _one(folders[0], options) if alone else _several(folders, options, console)
  for path in drawn:
    console.print(f"wrote {path}", markup=False)
  return 0


def _one(folder: run_folder.RunFolder, options: flags.FlagValues) -> list[Path]:
  spec = job.build(folder.config()).env.spec
  out = Path(options.out) if options.out else folder.plots
  drawn = pictures.draw_run(folder, spec, out)
  for source in sorted(folder.predictions.glob("*.npz")):
    drawn += [p for p in pictures.draw_predictions(source, out, spec.dt) if p not in drawn]
  return drawn


def _several(
  folders: list[run_folder.RunFolder], options: flags.FlagValues, console: rich.console.Console
) -> list[Path]:
  groups: plots.Curves = {}
  returns: summary.Trials = {}
  for folder in folders:
    rows = read_table(folder.metrics)
    columns = sorted({name for row in rows for name in row} - {"step", "seed"})
    _choose(folder, "--column", options.column, columns)
    label = _label(folder, options.group)
    groups.setdefault(label, []).extend(plots.curves(rows, options.column))
    returns.setdefault(label, []).extend(summary.trials(rows))
  out = Path(options.out or "comparison.png")
  rows = summary.summarise(returns, options.threshold)
  console.print(summary.show(rows, options.threshold))
  label = LABELS.get(options.column, options.column)
  picture = plots.comparison(out, groups, label, options.title)
  return [picture, summary.write(out.with_suffix(".csv"), rows)]


def _label(folder: run_folder.RunFolder, group: list[str]) -> str:
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
    raise command.UsageError(f"{folder.path}: {error}") from error


if __name__ == "__main__":
  command.run(main, define, __doc__ or "", repeated="runs")
