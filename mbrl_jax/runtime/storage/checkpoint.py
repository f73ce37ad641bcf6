"""Checkpoints that survive a kill, say what is wrong, and restore bit for bit.

One checkpoint is one folder ``checkpoints/00000400/``::

  state/          the training state, written by orbax as one array per leaf
  host.npz        what the host loop must know besides (open episodes, counters)
  manifest.json   step, score, and for each of these arrays its shape, dtype and CRC-32

It is written under a temporary name, flushed to the disk, read back, and renamed: a
folder with a number for a name is complete. The checksums find damage that the storage
format itself lets through.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mbrl_jax.ops.validate import ArgumentError
from mbrl_jax.runtime.storage import array_store, files, growth, pytree_io

SHOWN = 20
"""Differing leaves listed in one message."""
_NUMBER = re.compile(
  "[0-9]{8}|[1-9][0-9]{8,}"
)  # as a step is written; other names are not ours


class CheckpointError(RuntimeError):
  """A checkpoint that cannot be written or read; the message says what to do."""


class Restored(NamedTuple):
  """What ``Checkpoints.restore`` returns.

  Attributes:
    state: the training state, placed as the template is.
    host: arrays of the host loop, by name.
    step: environment steps taken when it was saved.
  """

  state: Any
  host: dict[str, np.ndarray]
  step: int


def _is_full(error: BaseException) -> bool:
  codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
  texts = [os.strerror(code).lower() for code in codes]
  while error is not None:
    if getattr(error, "errno", None) in codes or any(t in str(error).lower() for t in texts):
      return True
    error = error.__cause__ or error.__context__
  return False


class Checkpoints:
  """The checkpoints of one run: the newest few, and the one with the best return."""

  def __init__(self, folder: Path | str, keep: int = 2):
    """Looks at ``folder``, which need not exist yet.

    Args:
      folder: where the numbered folders lie.
      keep: newest checkpoints to keep; the best by score is kept besides.

    Raises:
      ValueError: ``keep`` is below one.
    """
    if keep < 1:
      raise ArgumentError("keep", keep, "must be at least 1.")
    self.folder = Path(folder).absolute()
    self.keep = keep

  def steps(self) -> list[int]:
    """Returns the steps of all complete checkpoints, oldest first."""
    if not self.folder.is_dir():
      return []
    return sorted(int(p.name) for p in self.folder.iterdir() if _NUMBER.fullmatch(p.name))

  def best(self) -> int | None:
    """Returns the step with the highest finite score, the newest of equals."""
    scores = {step: self._score(step) for step in self.steps()}
    scored = {step: score for step, score in scores.items() if score is not None}
    return max(scored, key=lambda step: (scored[step], step)) if scored else None

  def save(
    self,
    step: int,
    state: Any,
    host: dict[str, np.ndarray] | None = None,
    score: float | None = None,
  ) -> None:
    """Saves ``state`` as checkpoint ``step`` and drops those no longer kept.

    Args:
      step: environment steps taken; names the checkpoint, replacing an older one.
      state: pytree of arrays.
      host: arrays of the host loop.
      score: return that decides which checkpoint is the best; ``None`` or a
        non-finite one is never the best.

    Raises:
      CheckpointError: the disk is full, or what was written does not read back; earlier
        checkpoints are untouched.
    """
    if not self.folder.exists():
      self.folder.mkdir(parents=True)
      files.sync(self.folder.parent)
    self._clean()
    temporary = self.folder / f".{step}.{os.getpid()}.tmp"
    try:
      self._write(temporary, step, state, host or {}, score)
      self._read(temporary, step, state)
      self._commit(temporary, step)
    except CheckpointError as error:
      raise CheckpointError(
        f"Step {step} was saved to {self.folder}, but does not read back and was dropped. "
        f"Earlier checkpoints are intact: {self.steps() or 'none yet'}.\n{error}"
      ) from error
    except Exception as error:
      if not _is_full(error):
        raise
      raise CheckpointError(
        f"No space left on the disk while saving step {step} to {self.folder}; that checkpoint "
        f"was not written. Complete ones are intact: {self.steps() or 'none yet'}. "
        "Free some space and resume."
      ) from error
    finally:
      shutil.rmtree(temporary, ignore_errors=True)
    self._retain()

  def restore(self, template: Any, step: int | str | None = None) -> Restored:
    """Restores a checkpoint into the structure of ``template``.

    Args:
      template: a state as ``save`` was given, its values do not matter. Buffers of transitions
        may be larger than they were then.
      step: a step, ``"best"``, or ``None`` for the newest.

    Raises:
      CheckpointError: nothing to restore, no such step, a damaged checkpoint or
        one of another program; names the leaves that differ and the newest
        step that does load.
    """
    step = self._choose(step)
    try:
      saved, arrays, host = self._read(self._path(step), step, template)
    except CheckpointError as error:
      raise CheckpointError(f"{error}\n{self._advice(step, template)}") from error
    state = growth.grown_like(template, pytree_io.unflatten(saved, arrays))
    return Restored(state, host, step)

  def leaf(self, path: str, step: int | str | None = None) -> np.ndarray:
    """Reads one array of a state, by its dotted path; see ``restore``."""
    folder = self._path(self._choose(step))
    try:
      return array_store.load(folder / "state", [path], partial=True)[path]
    except Exception as error:
      raise CheckpointError(
        f"Checkpoint {folder} is damaged: {path} cannot be read."
      ) from error

  def discard_after(self, step: int) -> None:
    """Deletes the checkpoints that are newer than ``step``."""
    for later in [s for s in self.steps() if s > step]:
      shutil.rmtree(self._path(later))

  def _path(self, step: int) -> Path:
    return self.folder / f"{step:08d}"

  def _score(self, step: int) -> float | None:
    try:
      score = json.loads((self._path(step) / "manifest.json").read_text())["score"]
      return float(score) if np.isfinite(score) else None
    except (OSError, ValueError, KeyError, TypeError):
      return None

  def _write(
    self, folder: Path, step: int, state: Any, host: dict, score: float | None
  ) -> None:
    folder.mkdir()
    arrays = pytree_io.flatten(state)
    host = {name: np.asarray(array) for name, array in host.items()}
    # Orbax refuses arrays without elements; the manifest alone describes them.
    array_store.save(folder / "state", {k: x for k, x in arrays.items() if x.size})
    files.write_atomic(folder / "host.npz", lambda file: np.savez(file, **host))
    finite = score is not None and np.isfinite(score)
    manifest = {
      "step": step,
      "score": float(score) if finite else None,
      "leaves": _with_checksums(pytree_io.describe(state), arrays),
      "host": _with_checksums(pytree_io.describe(host), host),
    }
    files.write_json(folder / "manifest.json", manifest)
    files.sync_tree(folder)

  def _commit(self, temporary: Path, step: int) -> None:
    target = self._path(step)
    replaced = temporary.with_suffix(".old")
    if target.exists():
      os.rename(target, replaced)
    os.rename(temporary, target)
    files.sync(self.folder)  # older ones are deleted next
    shutil.rmtree(replaced, ignore_errors=True)

  def _clean(self) -> None:
    """Removes what a killed save left; only ever one process saves to a folder."""
    for leftover in [*self.folder.glob(".*.tmp"), *self.folder.glob(".*.old")]:
      shutil.rmtree(leftover, ignore_errors=True)

  def _retain(self) -> None:
    kept = {*self.steps()[-self.keep :], self.best()}
    for step in self.steps():
      if step not in kept:
        shutil.rmtree(self._path(step))

  def _choose(self, step: int | str | None) -> int:
    steps = self.steps()
    if not steps:
      raise CheckpointError(f"There is no checkpoint in {self.folder}.")
    if step == "best":
      best = self.best()
      return steps[-1] if best is None else best
    if step is None:
      return steps[-1]
    if step not in steps:
      raise CheckpointError(f"There is no checkpoint of step {step}; there are {steps}.")
    return int(step)

  def _read(
    self, folder: Path, step: int, template: Any
  ) -> tuple[Any, pytree_io.Leaves, dict[str, np.ndarray]]:
    """Returns the template with buffers as they were saved, and the arrays of both files."""
    manifest = self._manifest(folder, step)
    template = growth.as_saved(template, manifest["leaves"])
    wrong = pytree_io.differences(pytree_io.describe(template), manifest["leaves"])
    if wrong:
      title = f"Checkpoint {folder} is of another program or config"
      raise CheckpointError(_listing(title, wrong))
    arrays = self._arrays(folder, template)
    damaged = _damaged(arrays, manifest["leaves"])
    try:
      host = files.read_npz(folder / "host.npz")
    except (OSError, files.RunFolderError) as error:
      raise CheckpointError(f"Checkpoint {folder} is damaged: {error}") from error
    if "host" in manifest:  # not in those of earlier versions
      damaged += [
        f"host.npz: {line}"
        for line in pytree_io.differences(manifest["host"], pytree_io.describe(host))
        or _damaged(host, manifest["host"])
      ]
    if damaged:
      raise CheckpointError(_listing(f"Checkpoint {folder} is damaged", damaged))
    return template, arrays, host

  def _manifest(self, folder: Path, step: int) -> dict[str, Any]:
    try:
      manifest = json.loads((folder / "manifest.json").read_text())
      if manifest["step"] != step:
        raise ValueError(f"it is of step {manifest['step']!r}")
      for name in ("leaves", *(n for n in ("host",) if n in manifest)):
        for leaf in manifest[name].values():
          if not {"shape", "dtype", "crc32"} <= set(leaf):
            raise ValueError(f"{name!r} is not a table of arrays")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
      raise CheckpointError(
        f"{folder} is not a checkpoint of mbrl_jax, or is damaged: manifest.json: {error}"
      ) from error
    return manifest

  def _arrays(self, folder: Path, template: Any) -> pytree_io.Leaves:
    expected = pytree_io.named(template)
    empty = pytree_io.flatten({path: x for path, x in expected.items() if not np.size(x)})
    full = [path for path in expected if path not in empty]
    try:
      found = array_store.load(folder / "state", full)
    except Exception as error:
      wrong = [path for path in full if not _loads(folder / "state", path)]
      lines = [f"{path}: cannot be read" for path in wrong]
      title = f"Checkpoint {folder} is damaged ({str(error).splitlines()[0][:200]})"
      raise CheckpointError(_listing(title, lines)) from error
    return found | empty

  def _advice(self, bad: int, template: Any) -> str:
    for step in reversed(self.steps()):
      if step == bad:
        continue
      try:
        self._read(self._path(step), step, template)
      except CheckpointError:
        continue
      return f"The last good checkpoint is step {step}: load it with --step={step}."
    return "No other checkpoint of this run loads."


def _loads(folder: Path, path: str) -> bool:
  try:
    array_store.load(folder, [path], partial=True)
  except Exception:
    return False
  return True


def _with_checksums(table: dict[str, dict], arrays: pytree_io.Leaves) -> dict[str, dict]:
  return {k: {**leaf, "crc32": pytree_io.checksum(arrays[k])} for k, leaf in table.items()}


def _damaged(arrays: pytree_io.Leaves, table: dict[str, dict]) -> list[str]:
  """Returns a line for each array that is not the one that was written."""
  return [
    f"{path}: the checksum does not match"
    for path, array in arrays.items()
    if pytree_io.checksum(array) != table[path]["crc32"]
  ]


def _listing(title: str, lines: list[str]) -> str:
  rest = [f"... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
  return "\n  ".join([f"{title}:", *lines[:SHOWN], *rest])
