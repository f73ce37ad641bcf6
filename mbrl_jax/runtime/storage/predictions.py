"""Writes and reads every particle's predictions of an episode, if the planner reports them."""

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

  ``predictions [T, H+1, P, O]`` start with the observation at each control step, followed by
  the predicted observations for the remaining actions of the current plan. If a plan is
  executed for several steps (``replan_every``), it has ``age`` fewer actions left after ``age``
  steps: the last ``age`` rows of ``H+1`` are NaN. ``observations [T+1, O]`` and
  ``actions [T, A]`` are the actual ones.
  """
  arrays = episode.arrays
  if "info/prediction" not in arrays or row["random"]:
    return
  folder.predictions.mkdir(exist_ok=True)
  prefix = "" if seed is None else f"seed{seed}_"
  contents = {
    "predictions": arrays["info/prediction"],
    "observations": np.concatenate([arrays["obs"], arrays["next_obs"][-1:]]),
    "actions": arrays["action"],
  }
  path = folder.predictions / f"{prefix}trial{int(row['trial']):03}.npz"
  files.write_npz(path, contents, compress=True)


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
  """Reads predictions ``[T, H+1, P, O]`` and observations ``[T+1, O]``.

  Raises:
    RunFolderError: the file is damaged, or has other contents; names the array.
  """
  arrays = files.read_npz(path)
  for name, rank in (("observations", 2), ("predictions", 4)):
    if name not in arrays:
      raise RunFolderError(f"{path}: the array {name!r} is missing.")
    array = arrays[name]
    if array.ndim != rank or array.dtype.kind != "f" or not array.size:
      raise RunFolderError(
        f"{path}: {name} is {array.dtype}{list(array.shape)}, expected {rank} axes of floats."
      )
  predictions, observations = arrays["predictions"], arrays["observations"]
  steps, *_, size = predictions.shape
  if observations.shape != (steps + 1, size) or predictions.shape[1] < 2:
    raise RunFolderError(f"{path}: the shapes of predictions and observations do not match.")
  return predictions, observations
