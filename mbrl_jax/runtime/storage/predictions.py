"""Writes every particle's prediction of an episode, where the planner reports them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.csv_log import Row
from mbrl_jax.runtime.storage.episodes import Episode
from mbrl_jax.runtime.storage.files import RunFolderError
from mbrl_jax.runtime.storage.run_folder import RunFolder


def save(folder: RunFolder, seed: int | None, row: Row, episode: Episode) -> None:
  """Writes ``predictions/[seed0_]trial003.npz``; nothing for random episodes.

  Its ``predictions [T, H+1, P, O]`` begin with what was observed at each control step and
  go on with what the actions still to come of the plan that it executes were expected to
  lead to. Where a plan is executed for several steps (``replan_every``) the ``age`` actions
  that it has behind it are missing at the end: the last ``age`` rows of ``H+1`` are NaN.
  ``observations [T+1, O]`` and ``actions [T, A]`` are what happened.
  """
  arrays = episode.arrays
  if "info/prediction" not in arrays or row["random"]:
    return
  folder.predictions.mkdir(exist_ok=True)
  prefix = "" if seed is None else f"seed{seed}_"
  happened = np.concatenate([arrays["obs"], arrays["next_obs"][-1:]])
  contents = {
    "predictions": arrays["info/prediction"],
    "observations": happened,
    "actions": arrays["action"],
  }
  path = folder.predictions / f"{prefix}trial{int(row['trial']):03}.npz"
  files.write_atomic(path, lambda file: np.savez_compressed(file, **contents))


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
  """Reads predictions ``[T, H+1, P, O]`` and observations ``[T+1, O]``.

  Raises:
    RunFolderError: the file is damaged, or holds something else; names the array.
  """
  arrays = files.read_npz(path)
  for name, rank in (("observations", 2), ("predictions", 4)):
    if name not in arrays:
      raise RunFolderError(f"{path}: there is no array {name!r}.")
    array = arrays[name]
    if array.ndim != rank or array.dtype.kind != "f" or not array.size:
      raise RunFolderError(f"{path}: {name} is {array.dtype}{list(array.shape)}.")
  predictions, observations = arrays["predictions"], arrays["observations"]
  steps, *_, size = predictions.shape
  if observations.shape != (steps + 1, size) or predictions.shape[1] < 2:
    raise RunFolderError(f"{path}: predictions and observations are not of one episode.")
  return predictions, observations
