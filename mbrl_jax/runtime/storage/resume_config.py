"""Checks a resumed run's config against the stored one, and extends the run's length."""

from __future__ import annotations

import json
from typing import Any

from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.checkpoint import Checkpoints
from mbrl_jax.runtime.storage.files import RunFolderError
from mbrl_jax.runtime.storage.run_folder import RunFolder, flat


def check_config(folder: RunFolder, config: dict[str, Any], grows: str = "") -> None:
  """Checks that a run is resumed with the config it was started with.

  Args:
    folder: of the run.
    config: with which to resume.
    grows: the field with the run's length, such as ``config.steps``; it may have grown.

  Raises:
    RunFolderError: names each field that differs, with both values.
  """
  old, new = flat(folder.config()), flat(json.loads(json.dumps(config)))
  missing = "(absent)"
  if grows in old and grows in new:
    if new[grows] < old[grows]:
      raise RunFolderError(
        f"--{grows}={new[grows]} is below the {old[grows]} of the run in {folder.path}: a run "
        "can be extended but not shortened."
      )
    old[grows] = new[grows]
  lines = [
    f"{name}: the run has {old.get(name, missing)!r}, requested {new.get(name, missing)!r}"
    for name in [*old, *(n for n in new if n not in old)]
    if old.get(name, missing) != new.get(name, missing)
  ]
  if lines:
    listing = "\n  ".join(lines)
    raise RunFolderError(
      f"The run in {folder.path} was started with another config:\n  {listing}\n"
      "Resume it with its own config, or start a new run in another --logdir."
    )


def extend(
  folder: RunFolder, config: dict[str, Any], grows: str, step: int | None = None
) -> None:
  """Writes a run's new length to ``config.json``, after ``check_config`` has accepted it.

  Args:
    folder: of the run.
    config: with which the run is resumed.
    grows: the field with the run's length.
    step: of the checkpoint from which it is resumed; ``None``: the newest.

  Raises:
    RunFolderError: its seeds ended after different numbers of steps.
  """
  stored, length = folder.config(), flat(config)[grows]
  if flat(stored)[grows] == length:
    return
  checkpoints = Checkpoints(folder.checkpoints)
  steps = checkpoints.leaf("steps", step).tolist() if checkpoints.steps() else 0
  if isinstance(steps, list) and len(set(steps)) > 1:
    raise RunFolderError(
      f"The seeds in {folder.path} ended after different steps, {steps}, because episodes end "
      "early: such a run cannot be extended."
    )
  *parts, last = grows.split(".")
  branch = stored
  for part in parts:
    branch = branch[part]
  branch[last] = length
  files.write_json(folder.path / "config.json", stored)
