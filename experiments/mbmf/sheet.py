"""Draws the paths of several pipelines on one sheet.

  python -m experiments.mbmf.sheet --runs runs/mbmf_ant_u_turn runs/mbmf_swimmer_straight
  python -m experiments.mbmf.sheet --runs runs --out=paths.png

--runs are searched recursively for runs in which an agent follows a path. Each panel has the
rollouts after the last fit, with their share of the path and mean distance from it; the CSV
file of the same name has a row for each.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from experiments.command_line import cli, outputs
from experiments.mbmf import driven, path_pictures
from experiments.report import content


def define(values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines the flags."""
  here = {"flag_values": values}
  flags.DEFINE_multi_string("runs", [], "One or more folders that contain runs", **here)
  flags.DEFINE_string("out", "paths.png", "Image file.", **here)


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Draws the sheet; returns the exit status."""
  cli.refuse(dotted)
  console = cli.console()
  if not options.runs:
    raise cli.UsageError("--runs is missing: one or more folders with runs.")
  out = outputs.check_file(Path(options.out), suffixes=outputs.PICTURES)
  outputs.check_file(out.with_suffix(".csv"))
  items = content.find(options.runs)
  drives = driven.last([d for item in items for d in driven.read(item.folder.path)])
  if not drives:
    raise cli.UsageError(f"--runs={' '.join(options.runs)}: no rollout along a path is stored.")
  for path in (
    path_pictures.draw_sheet(out, drives),
    driven.write(out.with_suffix(".csv"), drives),
  ):
    console.print(f"wrote {path}", markup=False)
  return 0


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "", repeated="runs")
