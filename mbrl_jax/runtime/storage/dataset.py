"""Reads recorded transitions for offline learning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mbrl_jax.ops.validate import ArgumentError
from mbrl_jax.runtime.storage import files
from mbrl_jax.types import EnvSpec, Transition

ROWS = ("obs", "action", "reward", "next_obs", "terminated")
LOGS = ("observations", "actions", "rewards", "lengths", "terminated")


def load_dataset(path: str, spec: EnvSpec) -> Transition:
  """Reads a dataset.

  Args:
    path: an ``.npz`` file with ``obs [n, O]``, ``action [n, A]``, ``reward [n]``,
      ``next_obs [n, O]`` and ``terminated [n]``; or the ``logs.npz`` of a run, see
      ``rollouts``.
    spec: of the task.

  Returns:
    Transitions with leaves ``[n, ...]`` (numpy), none of them truncated.

  Raises:
    ValueError: the file does not exist, or arrays are missing, have another shape or are not
      finite.

  Example:
    >>> import tempfile
    >>> import numpy as np
    >>> from mbrl_jax import make_env
    >>> from mbrl_jax.runtime.storage.dataset import load_dataset
    >>> rows = {"obs": np.ones((5, 3)), "action": np.ones((5, 1)), "next_obs": np.ones((5, 3))}
    >>> with tempfile.NamedTemporaryFile(suffix=".npz") as file:
    ...   np.savez(file, **rows, reward=np.ones(5), terminated=np.zeros(5))
    ...   load_dataset(file.name, make_env("pendulum").spec).obs.shape
    (5, 3)
  """
  if not Path(path).is_file():
    raise ArgumentError("dataset", path, "does not exist.")
  arrays = _read(path)
  if set(LOGS) <= set(arrays):
    if not _is_log(arrays):
      raise ArgumentError(
        "dataset", path, "is not the logs.npz of a run: the arrays do not match its lengths."
      )
    arrays = _unpad(arrays)
  return _transitions(path, arrays, spec)


def _transitions(path: str, arrays: dict[str, np.ndarray], spec: EnvSpec) -> Transition:
  """Checks the arrays and converts them to transitions."""
  missing = [name for name in ROWS if name not in arrays]
  if missing:
    raise ArgumentError(
      "dataset",
      path,
      f"lacks {', '.join(missing)}; it must contain {', '.join(ROWS)}, or be "
      "the logs.npz of a run.",
    )
  for name in ROWS:
    if arrays[name].dtype.kind not in "fiub":
      raise ArgumentError(
        "dataset", path, f": {name} contains {arrays[name].dtype}, expected numbers."
      )
  with np.errstate(over="ignore"):  # infinite values are refused below
    rows: dict[str, Any] = {name: np.asarray(arrays[name], np.float32) for name in ROWS}
  count = rows["obs"].size // spec.obs_dim
  tails = {"obs": (spec.obs_dim,), "action": (spec.action_dim,), "next_obs": (spec.obs_dim,)}
  for name, array in rows.items():
    expected = (count, *tails.get(name, ()))
    if array.shape != expected or not count:
      raise ArgumentError(
        "dataset",
        path,
        f": {name} has shape {list(array.shape)}, expected {list(expected)} "
        f"with at least one row for {spec.name!r}.",
      )
    if not np.isfinite(array).all():
      raise ArgumentError("dataset", path, f": {name} has values that are not finite.")
  rows |= {"terminated": rows["terminated"] > 0, "truncated": np.zeros(count, bool)}
  return Transition(**rows)


def _read(path: str) -> dict[str, np.ndarray]:
  """Reads all arrays of an ``.npz`` file; never unpickles objects."""
  try:
    return files.read_npz(path)
  except (OSError, files.RunFolderError) as error:
    raise ArgumentError(
      "dataset",
      path,
      f"cannot be read: it must be an .npz file as written by numpy.savez, "
      f"with the arrays {', '.join(ROWS)}, or the logs.npz of a run.",
    ) from error


def _is_log(logs: dict[str, np.ndarray]) -> bool:
  """Returns whether the padded rollouts match their lengths."""
  lengths = logs["lengths"]
  if lengths.dtype.kind not in "iu" or lengths.ndim != 1 or not lengths.size:
    return False
  padded = [logs[name] for name in LOGS[:3]]
  alike = all(x.ndim > 1 and len(x) == len(lengths) for x in padded)
  return (
    alike
    and logs["terminated"].shape == lengths.shape
    and lengths.min() > 0
    and all(
      x.shape[1] >= lengths.max() + extra for x, extra in zip(padded, (1, 0, 0), strict=True)
    )
  )


def _unpad(logs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns the transitions of a run's padded rollouts."""
  lengths = logs["lengths"].astype(int)
  join = lambda name, first: np.concatenate(
    [rows[first : first + length] for rows, length in zip(logs[name], lengths, strict=True)]
  )
  ends = np.zeros(lengths.sum(), bool)
  ends[np.cumsum(lengths) - 1] = logs["terminated"] > 0
  return {
    "obs": join("observations", 0),
    "action": join("actions", 0),
    "reward": join("rewards", 0),
    "next_obs": join("observations", 1),
    "terminated": ends,
  }
