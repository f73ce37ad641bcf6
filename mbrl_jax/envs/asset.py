"""Compiles the MJCF files of the package."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import mujoco

FOLDER = Path(__file__).parent / "assets"


def load_asset(
  name: str, change: Callable[[mujoco.MjSpec], None] | None = None
) -> mujoco.MjModel:
  """Compiles ``assets/<name>.xml``.

  Args:
    name: file name without its suffix.
    change: edits the specification before it is compiled, for variants of one model.

  Raises:
    ValueError: MuJoCo cannot compile it; the message names file, element and line.
  """
  path = FOLDER / f"{name}.xml"
  with naming_file(path.name, path):
    spec = mujoco.MjSpec.from_file(str(path))
    if change is not None:
      change(spec)
    return spec.compile()


@contextlib.contextmanager
def naming_file(source: str, path: Path | None = None) -> Iterator[None]:
  """Adds the file to MuJoCo's error messages, which name only element and line.

  Args:
    source: name of the file or text, for the message.
    path: the file, to list its includes: MuJoCo reports line 0 for errors in those.
  """
  try:
    yield
  except ValueError as error:
    message = " ".join(str(error).split())
    included = re.findall(r"<include\s+file=[\"']([^\"']+)", path.read_text()) if path else []
    if message.endswith("line 0") and included:
      message += f" (in an included file: {', '.join(included)})"
    raise ValueError(f"MuJoCo cannot load {source}: {message}") from error
