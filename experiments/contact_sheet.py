"""Draws one picture with all tasks, each after a few random steps.

  python -m experiments.contact_sheet            writes experiments/results/tasks.png
  python -m experiments.contact_sheet --env ant hopper my_task.py:make_task --out=three.png
  python -m experiments.contact_sheet --steps=0        the initial states

Without OpenGL the tasks are drawn as line segments. A task that cannot be created or drawn
gets an empty frame with the reason.

Exit status: 0 all tasks are drawn; 1 some are not; 2 wrong usage.
"""

from __future__ import annotations

import math
import textwrap
from pathlib import Path

from absl import flags
from PIL import Image, ImageDraw, ImageFont

from experiments import random_rollout
from experiments.command_line import cli, env_reference, outputs
from mbrl_jax.envs.registry import list_envs
from mbrl_jax.runtime.rendering import video
from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.user_error import blame

OUT = "experiments/results/tasks.png"
SUFFIXES = (".png", ".gif", ".webp", ".bmp", ".tif")
SUPERSAMPLING = 2
"""Factor by which pictures are rendered larger than shown, for smooth edges."""
GAP = 8  # pixels between pictures
PAPER, INK, FAINT = "#ffffff", "#1d2733", "#e8ebf0"


def define(values: flags.FlagValues = flags.FLAGS) -> None:
  """Defines the flags."""
  text, whole = flags.DEFINE_string, flags.DEFINE_integer
  meaning = f"Tasks, by default all registered ones: {env_reference.known()}"
  flags.DEFINE_multi_string("env", [], meaning, flag_values=values)
  for flag, name, default, meaning, *bound in (
    (text, "physics", "auto", "Simulator: mjx, mujoco (C engine) or auto."),
    (whole, "steps", 15, "Random control steps before the picture, at most.", 0),
    (whole, "seed", 0, "Seed of initial states and actions.", 0),
    (whole, "columns", 6, "Pictures in a row.", 1),
    (whole, "width", 360, "Width of a picture in pixels.", 32),
    (text, "out", None, f"Image file. Default: {OUT}, or tasks.png with --env."),
  ):
    flag(name, default, meaning, *bound, flag_values=values)


def main(options: flags.FlagValues, dotted: cli.Dotted) -> int:
  """Draws the tasks; returns the exit status."""
  for group, values in dotted.items():
    for name in values:
      raise cli.UsageError(f"--{group}.{name}: this program takes no such settings.")
  console = cli.console()
  names = options.env or list_envs()
  for name in names:
    env_reference.settings(name)  # refuses unknown tasks before any is drawn
  default = "tasks.png" if options.env else OUT
  out = outputs.check_file(Path(options.out or default), suffixes=SUFFIXES)
  size, tiles, failed = (options.width, round(options.width * 9 / 16)), [], []
  for name in names:
    try:
      tiles.append(picture(name, options, size))
    except (cli.UsageError, ValueError, RuntimeError) as error:
      reason = blame(error) or f"{error}"
      console.print(f"{name}: {reason}", style="bold red", markup=False)
      tiles.append(placeholder(reason, size))
      failed.append(name)
  path = write(out, sheet(tiles, names, min(options.columns, len(names))))
  size_text = f"{len(tiles)} tasks, {path.stat().st_size / 1024:.0f} KiB"
  console.print(f"wrote {path}: {size_text}", markup=False)
  return 1 if failed else 0


def picture(name: str, options: flags.FlagValues, size: tuple[int, int]) -> Image.Image:
  """Renders a task after random steps."""
  env = env_reference.make_checked(name, options.physics)
  pose = random_rollout.pose_after(env, options.steps, options.seed)
  width, height = (SUPERSAMPLING * pixels for pixels in size)
  (frame,) = video.render(env, pose[None], width=width, height=height)
  return Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)


def placeholder(reason: str, size: tuple[int, int]) -> Image.Image:
  """Returns an empty picture with an error message."""
  image = Image.new("RGB", size, FAINT)
  font = ImageFont.load_default(max(9, size[0] // 25))
  lines = textwrap.wrap(reason, 45)[:6]
  ImageDraw.Draw(image).multiline_text((GAP, GAP), "\n".join(lines), font=font, fill=INK)
  return image


def sheet(tiles: list[Image.Image], names: list[str], columns: int) -> Image.Image:
  """Arranges pictures of one size in a grid, each with its name below."""
  width, height = tiles[0].size
  text = max(10, width // 18)
  font = ImageFont.load_default(text)
  across, down = width + GAP, height + 2 * text + GAP
  rows = math.ceil(len(tiles) / columns)
  image = Image.new("RGB", (columns * across + GAP, rows * down + GAP), PAPER)
  pen = ImageDraw.Draw(image)
  for i, (tile, name) in enumerate(zip(tiles, names, strict=True)):
    left, top = GAP + i % columns * across, GAP + i // columns * down
    image.paste(tile, (left, top))
    middle = (left + width // 2, top + height + text // 4)
    pen.text(middle, env_reference.label(name), font=font, fill=INK, anchor="ma")
  return image


def write(path: Path, image: Image.Image) -> Path:
  """Writes the picture with 256 colours, which takes a third of the bytes of full colour."""
  path.parent.mkdir(parents=True, exist_ok=True)
  few = image.quantize(256, dither=Image.Dither.NONE)
  kind = Image.registered_extensions()[path.suffix.lower()]
  files.write_atomic(path, lambda file: few.save(file, kind, optimize=True))
  return path


if __name__ == "__main__":
  cli.run(main, define, __doc__ or "", repeated="env")
