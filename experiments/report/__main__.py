"""Writes one page about many runs: a table, curves by task, and each run's own pictures.

  python -m experiments.report --runs=runs
  python -m experiments.report --runs runs/sweep runs/demo --out=report.html
  python -m experiments.report --runs=runs --group=algo --title='Ours on the pendulum'

Runs are looked for in the folders that are given and in those below. The page holds its
pictures, and videos up to --video_mb, so it can be moved, sent and read without a network. A
run shows what was decided otherwise than in its preset.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from experiments.command_line import cli, outputs
from experiments.report import content, page
from mbrl_jax.runtime.storage import files


def define(values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines the flags."""
  here = {"flag_values": values}
  flags.DEFINE_multi_string(
    "runs", [], "Folders of runs, or with runs below them; may be followed by several.", **here
  )
  flags.DEFINE_list(
    "group",
    [],
    "Fields of config.json that label the curves, by commas. Default: one for each run.",
    **here,
  )
  flags.DEFINE_string(
    "out", None, "HTML file. Default: report.html in the first folder.", **here
  )
  flags.DEFINE_string("title", "Runs", "Title of the page.", **here)
  flags.DEFINE_float(
    "video_mb", 4.0, "Largest video, in MB, that becomes part of the page.", 0.0, **here
  )


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Writes the page; returns the exit status."""
  cli.refuse(dotted)
  console = cli.console()
  if not options.runs:
    raise cli.UsageError("--runs is missing: one or more folders with runs, such as runs.")
  items = content.find(options.runs)
  out = Path(options.out) if options.out else Path(options.runs[0]) / "report.html"
  outputs.check_file(out, suffixes=(".html", ".htm"))
  written = page.write(
    items, title=options.title, group=options.group, video_bytes=1e6 * options.video_mb
  )
  out.parent.mkdir(parents=True, exist_ok=True)
  files.write_text(out, written)
  size = len(written.encode()) / 1e6
  console.print(f"wrote {out}, {len(items)} runs, {size:.1f} MB", markup=False)
  return 0


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "", repeated="runs")
