"""Draws the pictures of a pipeline, writes their tables, and collects all on one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import rich.console

from experiments.command_line import outputs
from experiments.diagnose import open_loop
from experiments.mbmf import (
  aggregations,
  comparison,
  driven,
  forward,
  path_pictures,
)
from experiments.mbmf.stages import SeedStages
from experiments.report import content, page
from mbrl_jax.runtime.storage import files

VIDEO_BYTES = 4e6
"""Largest video on the page."""


def write(out: Path, seeds: Sequence[SeedStages], console: rich.console.Console) -> list[Path]:
  """Writes pictures, tables and the page of all that exists so far.

  Args:
    out: folder of the pipeline.
    seeds: the stages of each seed.
    console: prints the table of speed-ups.

  Raises:
    RunFolderError: a file of a stage is damaged.
  """
  follows = any(seed.request.path for seed in seeds)
  parts: list[Callable[..., list[Path]]] = [_paths if follows else _comparison, _losses]
  written = []
  for part in (*parts, _forward):
    written += part(out, seeds, console)
  if any(out.glob("seed*/*/config.json")):
    written.append(_page(out))
  return written


def _comparison(
  out: Path, seeds: Sequence[SeedStages], console: rich.console.Console
) -> list[Path]:
  curves = comparison.read({seed.request.seed: seed.request.folder for seed in seeds})
  if not curves:
    return []
  title = f"MBMF on {seeds[0].request.agent.task}"
  written = [
    comparison.draw(out / "comparison.png", curves, title),
    comparison.write(out / "comparison.csv", curves),
  ]
  rows = comparison.speed_up(curves)
  if rows:
    console.print(comparison.show(rows))
    table = comparison.formatted(rows)
    written.append(outputs.write_csv(out / "speed_up.csv", comparison.SPEED_UP, table))
  return written


def _losses(
  out: Path, seeds: Sequence[SeedStages], console: rich.console.Console
) -> list[Path]:
  del console
  found = {
    seed.request.seed: aggregations.fits(seed.output("model") / "metrics.csv") for seed in seeds
  }
  found = {seed: rows for seed, rows in found.items() if rows}
  if not found:
    return []
  columns = ("seed", "aggregation", aggregations.ROWS, *aggregations.LOSSES)
  rows = [
    # 0 stands for no data of the planner, or no rollout that is long enough.
    {"seed": seed, "aggregation": i, **{k: f"{x:.6g}" for k, x in row.items() if x}}
    for seed, own in found.items()
    for i, row in enumerate(own)
  ]
  return [
    aggregations.draw(out / "losses.png", list(found.values()), "fits of the model"),
    outputs.write_csv(out / "losses.csv", (*columns, *aggregations.ERRORS), rows),
  ]


def _forward(
  out: Path, seeds: Sequence[SeedStages], console: rich.console.Console
) -> list[Path]:
  """Predicts with the model of the first seed that has one."""
  del console
  for seed in seeds:
    path = seed.output("model")
    found = forward.simulate(path) if (path / "config.json").exists() else None
    if found is not None:
      return [
        open_loop.draw(out / "forward.png", found.predicted, found.truth, title=found.title),
        open_loop.write(out / "forward.csv", found.predicted, found.truth),
      ]
  return []


def _paths(out: Path, seeds: Sequence[SeedStages], console: rich.console.Console) -> list[Path]:
  del console
  runs = [seed.output("model") for seed in seeds]
  drives = [d for run in runs if (run / "config.json").exists() for d in driven.read(run)]
  if not drives:
    return []
  title = f"{drives[0].agent}, {drives[0].path}"
  return [
    path_pictures.draw_fits(out / "paths.png", drives, title),
    driven.write(out / "paths.csv", drives),
  ]


def _page(out: Path) -> Path:
  """Writes the page of ``experiments.report`` about the folder."""
  items = content.find([str(out)])
  text = page.write(
    items,
    title=f"MBMF: {out.name}",
    group=[],
    video_bytes=VIDEO_BYTES,
    extras=content.extras([str(out)]),
  )
  path = out / "report.html"
  files.write_text(path, text)
  return path
