"""Logs a run's metrics to Weights & Biases; needs the extra ``wandb``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mbrl_jax.ops.extra import import_extra
from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.run_folder import RunFolder

STEP = "environment_steps"
"""The x axis of all curves."""


class WandbTracker:
  """A W&B run; a resumed run folder continues the same one.

  ``wandb.json`` stores its identifier. W&B's environment variables apply: with
  ``WANDB_MODE=offline`` everything stays in the folder until ``wandb sync``.
  """

  def __init__(self, folder: RunFolder, project: str):
    """Starts or continues the run.

    Raises:
      ImportError: W&B is not installed; names the extra.
      ValueError: W&B refuses, for example without a key; gives its reason.
    """
    wandb = import_extra("wandb")
    identifier = folder.path / "wandb.json"
    try:
      self._run = wandb.init(
        project=project,
        name=folder.path.name,
        id=json.loads(identifier.read_text())["id"] if identifier.exists() else None,
        resume="allow",
        dir=str(folder.path),
        config=folder.config(),
      )
    except wandb.Error as error:
      reason = " ".join(str(error).split())
      raise ValueError(f"W&B refuses the project {project!r}: {reason}") from error
    files.write_json(identifier, {"id": self._run.id})
    self._run.define_metric(STEP)
    self._run.define_metric("*", step_metric=STEP)

  def log(self, step: int, values: Mapping[str, Any]) -> None:
    """Logs scalars of an environment step; steps repeated by a resumed run are logged twice."""
    self._run.log({STEP: step, **values})

  def close(self) -> None:
    """Waits until everything is sent."""
    self._run.finish()
