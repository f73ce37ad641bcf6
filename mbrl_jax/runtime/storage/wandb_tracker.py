"""Sends a run's metrics to Weights & Biases as well; needs the extra ``wandb``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mbrl_jax.ops.extra import import_extra
from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.run_folder import RunFolder

STEP = "environment_steps"
"""What all curves are drawn over."""


class WandbTracker:
  """A run of a project, the same one whenever the run in the folder goes on.

  Its identifier lies in ``wandb.json``. W&B's own variables are heeded: with
  ``WANDB_MODE=offline`` all stays in the folder until ``wandb sync``.
  """

  def __init__(self, folder: RunFolder, project: str):
    """Starts or continues the run.

    Raises:
      ImportError: W&B is not installed; says how to install it.
      ValueError: W&B refuses, such as without a key; says why.
    """
    wandb = import_extra("wandb")
    known = folder.path / "wandb.json"
    try:
      self._run = wandb.init(
        project=project,
        name=folder.path.name,
        id=json.loads(known.read_text())["id"] if known.exists() else None,
        resume="allow",
        dir=str(folder.path),
        config=folder.config(),
      )
    except wandb.Error as error:
      reason = " ".join(str(error).split())
      raise ValueError(f"W&B refuses the project {project!r}: {reason}") from error
    files.write_json(known, {"id": self._run.id})
    self._run.define_metric(STEP)
    self._run.define_metric("*", step_metric=STEP)

  def log(self, step: int, values: Mapping[str, Any]) -> None:
    """Sends scalars of an environment step; steps that a resumed run repeats come twice."""
    self._run.log({STEP: step, **values})

  def close(self) -> None:
    """Waits until all is sent."""
    self._run.finish()
