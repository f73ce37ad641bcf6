"""Keeps the rollouts of a run and writes them as ``logs.npz`` and ``logs.mat``.

Both files have the keys and shapes of the original PETS program ([Chua 2018],
``logs.mat``): ``observations [R, T+1, O]``, ``actions [R, T, A]``, ``rewards [R, T]``
over all rollouts, and ``returns [1, R - random]`` without the random ones.

Deviations:
  * Rollouts that end early are padded with NaN; ``lengths [R]`` says how long
    they are.
  * Added: ``poses [R, T, Q]``, what a renderer needs; ``steps [R]`` (environment
    steps taken at each end), ``random [R]`` and ``terminated [R]``.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import scipy.io

from mbrl_jax.runtime import files
from mbrl_jax.runtime.episodes import Episode


def _pad(arrays: list[np.ndarray]) -> np.ndarray:
  """Stacks ``[t, ...]`` arrays to ``[R, T, ...]`` with NaN after their ends."""
  longest = max(len(a) for a in arrays)
  padded = np.full((len(arrays), longest, *arrays[0].shape[1:]), np.nan, np.float32)
  for row, array in zip(padded, arrays, strict=True):
    row[: len(array)] = array
  return padded


class Rollouts:
  """The finished episodes of one seed, in order."""

  def __init__(self) -> None:
    """Starts without any."""
    self._rows: list[dict[str, np.ndarray]] = []

  def __len__(self) -> int:
    """Number of rollouts."""
    return len(self._rows)

  def add(self, episode: Episode) -> None:
    """Appends a finished episode."""
    data = episode.arrays
    observations = np.concatenate([data["obs"], data["next_obs"][-1:]])
    self._rows.append(
      {
        "observations": observations,
        "actions": data["action"],
        "rewards": data["reward"],
        "poses": data["pose"],
        "steps": np.int64(episode.step),
        "random": np.bool_(episode.random),
        "terminated": np.bool_(data["terminated"][-1]),
      }
    )

  def arrays(self) -> dict[str, np.ndarray]:
    """Returns all rollouts under the keys of the module's docstring."""
    if not self._rows:
      return {}
    series = {k: [row[k] for row in self._rows] for k in self._rows[0]}
    arrays = {k: _pad(series[k]) for k in ("observations", "actions", "rewards", "poses")}
    scalars = {k: np.array(series[k]) for k in ("steps", "random", "terminated")}
    lengths = np.array([len(rewards) for rewards in series["rewards"]])
    sums = [float(np.sum(r, dtype=np.float64)) for r in series["rewards"]]
    returns = np.array(sums)[~scalars["random"]][None]
    return {**arrays, "returns": returns, "lengths": lengths, **scalars}

  def save(self, path: Path) -> None:
    """Writes ``path``.npz and ``path``.mat, each atomically."""
    arrays = self.arrays()
    files.write_atomic(path.with_suffix(".npz"), lambda file: np.savez(file, **arrays))
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, arrays, do_compression=False)
    files.write_atomic(path.with_suffix(".mat"), lambda file: file.write(_timeless(buffer)))

  @classmethod
  def load(cls, path: Path, after: int) -> Rollouts:
    """Reads ``path``.npz, keeping the rollouts that ended by step ``after``."""
    rollouts = cls()
    source = path.with_suffix(".npz")
    if not source.exists():
      return rollouts
    with np.load(source) as file:
      arrays = dict(file)
    for i in range(len(arrays.get("steps", []))):
      if arrays["steps"][i] <= after:
        length = arrays["lengths"][i]
        cut = dict.fromkeys(("actions", "rewards", "poses"), length)
        cut["observations"] = length + 1
        row = {k: arrays[k][i, : cut[k]] for k in cut}
        rollouts._rows.append(
          row | {k: arrays[k][i] for k in ("steps", "random", "terminated")}
        )
    return rollouts


def _timeless(buffer: io.BytesIO) -> bytes:
  """Blanks the time of writing in a MAT file's text header (its first 116 bytes)."""
  data = buffer.getvalue()
  return b"MATLAB 5.0 MAT-file, written by mbrl_jax".ljust(116) + data[116:]
