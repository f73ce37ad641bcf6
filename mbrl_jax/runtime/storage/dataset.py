"""Reads transitions that were recorded, to learn from them offline."""

from __future__ import annotations

from pathlib import Path

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
      ``runtime.rollouts``.
    spec: the task.

  Returns:
    Transitions with leaves ``[n, ...]`` (numpy), none of them truncated.

  Raises:
    ValueError: no such file, or arrays that are missing, of other shapes or not finite.
  """
  if not Path(path).is_file():
    raise ArgumentError("dataset", path, ": there is no such file.")
  arrays = _read(path)
  if set(LOGS) <= set(arrays):
    if not _fits(arrays):
      raise ArgumentError(
        "dataset", path, "is not the logs.npz of a run: its lengths do not fit."
      )
    arrays = _cut(arrays)
  missing = [name for name in ROWS if name not in arrays]
  if missing:
    raise ArgumentError(
      "dataset",
      path,
      f"lacks {', '.join(missing)}; it must hold {', '.join(ROWS)}, or be "
      "the logs.npz of a run.",
    )
  for name in ROWS:
    if arrays[name].dtype.kind not in "fiub":
      raise ArgumentError(
        "dataset", path, f": {name} holds {arrays[name].dtype}, it must hold numbers."
      )
  with np.errstate(over="ignore"):  # what gets infinite is refused below
    rows = {name: np.asarray(arrays[name], np.float32) for name in ROWS}
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
  rows["terminated"] = rows["terminated"] > 0
  return Transition(**rows, truncated=np.zeros(count, bool))


def _read(path: str) -> dict[str, np.ndarray]:
  """Reads all arrays of an ``.npz`` file; nothing in it is run."""
  try:
    return files.read_npz(path)
  except (OSError, files.RunFolderError) as error:
    raise ArgumentError(
      "dataset",
      path,
      f"cannot be read: it must be an .npz file, as numpy.savez writes it, "
      f"with the arrays {', '.join(ROWS)}, or the logs.npz of a run.",
    ) from error


def _fits(logs: dict[str, np.ndarray]) -> bool:
  """Tells whether a run's padded rollouts are as long as their lengths say."""
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


def _cut(logs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Cuts the transitions out of a run's padded rollouts."""
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
