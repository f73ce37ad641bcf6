"""Compiles the MJCF files that come with mbrl_jax."""

from __future__ import annotations

from collections.abc import Callable
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
  """
  spec = mujoco.MjSpec.from_file(str(FOLDER / f"{name}.xml"))
  if change is not None:
    change(spec)
  return spec.compile()
