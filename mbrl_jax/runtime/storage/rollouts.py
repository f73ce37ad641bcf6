"""Collects a run's rollouts and writes them to ``logs.npz`` and ``logs.mat``.

Both files have the keys and shapes of the original PETS program ([Chua 2018],
``logs.mat``): ``observations [R, T+1, O]``, ``actions [R, T, A]``, ``rewards [R, T]``
over all rollouts, and ``returns [1, R - random]`` without the random ones.

Deviations:
  * Rollouts that end early are padded with NaN; ``lengths [R]`` are their lengths.
  * Added: ``poses [R, T, Q]`` for a renderer; ``steps [R]`` (environment steps taken at
    each end), ``random [R]`` and ``terminated [R]``.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.episodes import Episode
from mbrl_jax.runtime.storage.files import RunFolderError
from mbrl_jax.runtime.storage.journal import EMPTY, PrefixChecksum

SERIES = {"observations": 1, "actions": 0, "rewards": 0, "poses": 0}
"""Padded arrays, and their number of entries in addition to one per step."""
SCALARS = {"steps": np.int64, "random": np.bool_, "terminated": np.bool_}
"""Arrays with one entry per rollout."""


def read(path: Path | str) -> dict[str, np.ndarray]:
  """Reads an ``.npz`` file that ``Rollouts.save`` wrote.

  Raises:
    OSError: the file does not exist.
    RunFolderError: it is damaged, or violates the module's format; names the array.
  """
  arrays = files.read_npz(path)
  for name in ("lengths", *SERIES, *SCALARS):
    if name not in arrays:
      raise RunFolderError(f"{path}: the array {name!r} is missing.")
    array = arrays[name]
    if not _fits(name, array, arrays["lengths"]):
      raise RunFolderError(
        f"{path}: {name} is {array.dtype}{list(array.shape)}, which does not match its lengths."
      )
  if not np.all(np.diff(arrays["steps"], prepend=0) > 0):
    raise RunFolderError(f"{path}: steps do not increase from rollout to rollout.")
  return arrays


def _fits(name: str, array: np.ndarray, lengths: np.ndarray) -> bool:
  """Returns whether an array's dtype and shape match ``lengths``."""
  if name == "lengths":
    good = array.ndim == 1 and array.size > 0 and array.dtype == np.int64
    return good and bool(np.all(array > 0))
  if name in SCALARS:
    return array.dtype == SCALARS[name] and array.shape == lengths.shape
  shape = len(lengths), lengths.max() + SERIES[name]
  rank = 2 if name == "rewards" else 3
  return array.dtype == np.float32 and array.ndim == rank and array.shape[:2] == shape


def _pad(arrays: list[np.ndarray]) -> np.ndarray:
  """Stacks ``[t, ...]`` arrays to ``[R, T, ...]``, padded with NaN."""
  longest = max(len(a) for a in arrays)
  padded = np.full((len(arrays), longest, *arrays[0].shape[1:]), np.nan, np.float32)
  for row, array in zip(padded, arrays, strict=True):
    row[: len(array)] = array
  return padded


class Rollouts:
  """The finished episodes of one seed, in order."""

  def __init__(self) -> None:
    """Starts empty."""
    self._rows: list[dict[str, np.ndarray]] = []
    self.checksum = EMPTY

  def __len__(self) -> int:
    """Number of rollouts."""
    return len(self._rows)

  def add(self, episode: Episode) -> None:
    """Appends a finished episode."""
    data = episode.arrays
    observations = np.concatenate([data["obs"], data["next_obs"][-1:]])
    self._append(
      {
        "observations": observations,
        "actions": data["action"],
        "rewards": data["reward"],
        "poses": data["pose"],
        "steps": episode.step,
        "random": episode.random,
        "terminated": data["terminated"][-1],
      }
    )

  def _append(self, row: dict[str, Any]) -> None:
    kinds = {**dict.fromkeys(SERIES, np.float32), **SCALARS}
    row = {name: np.asarray(row[name], kind) for name, kind in kinds.items()}
    self._rows.append(row)
    self.checksum = self.checksum.extended(b"".join(array.tobytes() for array in row.values()))

  def arrays(self) -> dict[str, np.ndarray]:
    """Returns all rollouts under the keys in the module's docstring."""
    if not self._rows:
      return {}
    series = {k: [row[k] for row in self._rows] for k in self._rows[0]}
    arrays = {k: _pad(series[k]) for k in SERIES}
    scalars = {k: np.array(series[k]) for k in SCALARS}
    lengths = np.array([len(rewards) for rewards in series["rewards"]])
    sums = [float(np.sum(r, dtype=np.float64)) for r in series["rewards"]]
    returns = np.array(sums)[~scalars["random"]][None]
    return {**arrays, "returns": returns, "lengths": lengths, **scalars}

  def save(self, path: Path) -> None:
    """Writes ``path``.npz and ``path``.mat, each atomically."""
    import scipy.io  # here, because it would delay every program's --help

    arrays = self.arrays()
    files.write_npz(path.with_suffix(".npz"), arrays)
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, arrays, do_compression=False)
    content = _without_timestamp(buffer)
    files.write_atomic(path.with_suffix(".mat"), lambda file: file.write(content))

  @classmethod
  def load(cls, path: Path, after: int, checksum: PrefixChecksum | None = None) -> Rollouts:
    """Reads ``path``.npz; keeps the rollouts that ended by step ``after``.

    Args:
      path: as for ``save``.
      after: a step.
      checksum: of these rollouts, if a checkpoint stores it.

    Raises:
      RunFolderError: the file is damaged, or does not match the checksum.
    """
    rollouts, source = cls(), path.with_suffix(".npz")
    if after and (checksum.rows if checksum else True) and source.exists():
      arrays = read(source)
      for i in np.flatnonzero(arrays["steps"] <= after)[: checksum and checksum.rows]:
        length = arrays["lengths"][i]
        cut = {name: arrays[name][i, : length + more] for name, more in SERIES.items()}
        rollouts._append(cut | {name: arrays[name][i] for name in SCALARS})
    if checksum is not None and rollouts.checksum != checksum:
      raise checksum.mismatch(source, len(rollouts), after)
    return rollouts


def _without_timestamp(buffer: io.BytesIO) -> bytes:
  """Removes the timestamp from a MAT file's text header (its first 116 bytes)."""
  data = buffer.getvalue()
  return b"MATLAB 5.0 MAT-file, written by mbrl_jax".ljust(116) + data[116:]
