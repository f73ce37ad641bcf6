"""Writes one HTML page about many runs: a table, curves by task, plots of each run.

  python -m experiments.report --runs=runs
  python -m experiments.report --runs runs/sweep runs/demo --out=report.html
  python -m experiments.report --runs=runs --group=algo --title='Ours on the pendulum'

--runs are searched recursively. The page embeds the plots of runs, pictures in the folders of
--runs themselves, and videos up to --video_mb, and needs no network. For each run it lists the
settings that differ from the preset.
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
    "runs", [], "One or more run folders, or folders that contain runs", **here
  )
  flags.DEFINE_list(
    "group",
    [],
    "Fields of config.json that label the curves, comma-separated. Default: one curve per run.",
    **here,
  )
  flags.DEFINE_string(
    "out", None, "HTML file. Default: report.html in the first folder.", **here
  )
  flags.DEFINE_string("title", "Runs", "Title of the page.", **here)
  flags.DEFINE_float("video_mb", 4.0, "Largest video to embed, in MB.", 0.0, **here)


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Writes the page; returns the exit status."""
  cli.refuse(dotted)
  console = cli.console()
  if not options.runs:
    raise cli.UsageError("--runs is missing: one or more folders with runs.")
  items = content.find(options.runs)
  out = Path(options.out) if options.out else Path(options.runs[0]) / "report.html"
  outputs.check_file(out, suffixes=(".html", ".htm"))
  written = page.write(
    items,
    title=options.title,
    group=options.group,
    video_bytes=1e6 * options.video_mb,
    extras=content.extras(options.runs),
  )
  out.parent.mkdir(parents=True, exist_ok=True)
  files.write_text(out, written)
  size = len(written.encode()) / 1e6
  console.print(f"wrote {out}, {len(items)} runs, {size:.1f} MB", markup=False)
  return 0


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "", repeated="runs")
