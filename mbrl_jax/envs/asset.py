"""Compiles the MJCF files that come with mbrl_jax."""

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
    name: of the file, without its suffix.
    change: edits the specification before it is compiled, for variants of one model.

  Raises:
    ValueError: MuJoCo refuses it; names file, element and line.
  """
  path = FOLDER / f"{name}.xml"
  with named(path.name, path):
    spec = mujoco.MjSpec.from_file(str(path))
    if change is not None:
      change(spec)
    return spec.compile()


@contextlib.contextmanager
def named(where: str, path: Path | None = None) -> Iterator[None]:
  """Adds the file to what MuJoCo says of a model, which names element and line at most.

  Args:
    where: what is being loaded.
    path: the file, to find out what it includes: of lines there MuJoCo says 0.
  """
  try:
    yield
  except ValueError as error:
    message = " ".join(str(error).split())
    included = re.findall(r"<include\s+file=[\"']([^\"']+)", path.read_text()) if path else []
    if message.endswith("line 0") and included:
      message += f" (of a file that it includes: {', '.join(included)})"
    raise ValueError(f"MuJoCo cannot load {where}: {message}") from error
