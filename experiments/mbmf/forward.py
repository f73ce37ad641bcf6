"""Predicts the last rollout of a model stage in open loop, with the newest model."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from experiments import job
from experiments.diagnose import open_loop
from mbrl_jax.ops.key_stream import stream_key
from mbrl_jax.runtime.storage import rollouts
from mbrl_jax.runtime.storage.checkpoint import Checkpoints
from mbrl_jax.runtime.storage.run_folder import RunFolder

HORIZON = 100
"""Control steps of the prediction, as published."""


class Forward(NamedTuple):
  """A prediction.

  Attributes:
    predicted: ``[H, P, O]``.
    truth: observations ``[H, O]``.
    title: what it is.
  """

  predicted: np.ndarray
  truth: np.ndarray
  title: str


def simulate(path: Path) -> Forward | None:
  """Predicts the first steps of the last stored rollout from its actions.

  The newest model was fitted before that rollout ended; it has not seen it, unless fits are
  more frequent than rollouts.

  Args:
    path: the run folder, of one seed.

  Returns:
    ``None`` if there is no rollout of the planner, no checkpoint or no model.

  Raises:
    RunFolderError: a file is damaged.
  """
  folder = RunFolder(path)
  source = folder.logs().with_suffix(".npz")
  if not source.exists() or not Checkpoints(folder.checkpoints).steps():
    return None
  logs, task = rollouts.read(source), job.build_run(folder)
  diagnostics = task.algorithm.diagnostics
  if diagnostics.dynamics is None or logs["random"][-1]:
    return None
  state = Checkpoints(folder.checkpoints).restore(task.init()).state
  steps = min(int(logs["lengths"][-1]), HORIZON)
  observed = logs["observations"][-1, : steps + 1]
  params = jax.device_get(diagnostics.params(state))
  predicted = open_loop.predict(
    *(diagnostics.dynamics, params, observed[0], logs["actions"][-1, :steps]),
    stream_key("open loop", 0),
  )
  title = f"{task.env.spec.name}: rollout that ended at step {int(logs['steps'][-1])}"
  return Forward(predicted, observed[1:], title)
