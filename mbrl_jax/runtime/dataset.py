"""Reads transitions that were recorded, to learn from them offline."""

from __future__ import annotations

from pathlib import Path

import numpy as np

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
    raise ValueError(f"dataset={path!r}: there is no such file.")
  with np.load(path) as file:
    arrays = dict(file)
  if set(LOGS) <= set(arrays):
    arrays = _cut(arrays)
  missing = [name for name in ROWS if name not in arrays]
  if missing:
    raise ValueError(
      f"dataset={path!r} lacks {', '.join(missing)}; it must hold {', '.join(ROWS)}, or be "
      "the logs.npz of a run."
    )
  rows = {name: np.asarray(arrays[name], np.float32) for name in ROWS}
  count = len(rows["obs"])
  tails = {"obs": (spec.obs_dim,), "action": (spec.action_dim,), "next_obs": (spec.obs_dim,)}
  for name, array in rows.items():
    expected = (count, *tails.get(name, ()))
    if array.shape != expected or not count:
      raise ValueError(
        f"dataset={path!r}: {name} has shape {list(array.shape)}, expected {list(expected)} "
        f"with at least one row for {spec.name!r}."
      )
    if not np.isfinite(array).all():
      raise ValueError(f"dataset={path!r}: {name} has values that are not finite.")
  rows["terminated"] = rows["terminated"] > 0
  return Transition(**rows, truncated=np.zeros(count, bool))


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
