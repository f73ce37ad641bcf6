"""Saves, selects and restores a run's checkpoints, bit for bit and safe against kills.

One checkpoint is one folder such as ``checkpoints/00000400/``, see ``checkpoint_files``. It is
written under a temporary name, flushed to the disk, read back, and renamed: a folder whose name
is a number is complete.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mbrl_jax.ops.validate import ArgumentError
from mbrl_jax.runtime.storage import checkpoint_files, files, growth, pytree_io
from mbrl_jax.runtime.storage.checkpoint_files import CheckpointError

# As ``_path`` formats a step; folders of other names are ignored.
_STEP_NAME = re.compile("[0-9]{8}|[1-9][0-9]{8,}")


class Restored(NamedTuple):
  """A restored checkpoint.

  Attributes:
    state: training state, placed on the template's devices.
    host: arrays of the host loop, by name.
    step: environment steps taken when it was saved.
  """

  state: Any
  host: dict[str, np.ndarray]
  step: int


class Checkpoints:
  """The checkpoints of one run: the newest few, and the one with the best return."""

  def __init__(self, folder: Path | str, keep: int = 2):
    """Opens ``folder``, which need not exist yet.

    Args:
      folder: parent of the numbered folders.
      keep: newest checkpoints to keep, in addition to the best by score.

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
    return sorted(int(p.name) for p in self.folder.iterdir() if _STEP_NAME.fullmatch(p.name))

  def best(self) -> int | None:
    """Returns the step with the highest finite score; the newest of equals."""
    scores = {step: checkpoint_files.read_score(self._path(step)) for step in self.steps()}
    scored = {step: score for step, score in scores.items() if score is not None}
    return max(scored, key=lambda step: (scored[step], step)) if scored else None

  def save(
    self,
    step: int,
    state: Any,
    host: dict[str, np.ndarray] | None = None,
    score: float | None = None,
  ) -> None:
    """Saves ``state`` as checkpoint ``step`` and deletes those no longer kept.

    Args:
      step: environment steps taken; names the checkpoint and replaces an older one.
      state: pytree of arrays.
      host: arrays of the host loop.
      score: return by which the best checkpoint is selected; ``None`` or a non-finite
        one is never the best.

    Raises:
      CheckpointError: the disk is full, or the checkpoint does not read back; earlier
        checkpoints are unchanged.
    """
    if not self.folder.exists():
      self.folder.mkdir(parents=True)
      files.sync(self.folder.parent)
    self._clean()
    temporary = self.folder / f".{step}.{os.getpid()}.tmp"
    try:
      checkpoint_files.write(temporary, step, state, host or {}, score)
      checkpoint_files.read(temporary, step, state)
      self._commit(temporary, step)
    except CheckpointError as error:
      raise CheckpointError(
        f"Step {step} was saved to {self.folder}, but does not read back and was deleted. "
        f"Earlier checkpoints are intact: {self.steps() or 'none yet'}.\n{error}"
      ) from error
    except Exception as error:
      if not _is_full(error):
        raise
      raise CheckpointError(
        f"No space left on the disk while saving step {step} to {self.folder}; that checkpoint "
        f"was not written. Earlier checkpoints are intact: {self.steps() or 'none yet'}. "
        "Free some space and resume."
      ) from error
    finally:
      shutil.rmtree(temporary, ignore_errors=True)
    self._delete_old()

  def restore(self, template: Any, step: int | str | None = None) -> Restored:
    """Restores a checkpoint into the structure of ``template``.

    Args:
      template: a state as passed to ``save``; its values are ignored. Buffers of transitions
        may be larger than they were then.
      step: a step, ``"best"``, or ``None`` for the newest.

    Raises:
      CheckpointError: no checkpoint, an unknown step, a damaged checkpoint or one of another
        program; names the leaves that differ and the newest step that does load.
    """
    step = self._choose(step)
    try:
      saved, arrays, host = checkpoint_files.read(self._path(step), step, template)
    except CheckpointError as error:
      raise CheckpointError(f"{error}\n{self._advice(step, template)}") from error
    state = growth.grown_like(template, pytree_io.unflatten(saved, arrays))
    return Restored(state, host, step)

  def leaf(self, path: str, step: int | str | None = None) -> np.ndarray:
    """Reads one array of a state by its dotted path; see ``restore``."""
    return checkpoint_files.read_leaf(self._path(self._choose(step)), path)

  def discard_after(self, step: int) -> None:
    """Deletes the checkpoints that are newer than ``step``."""
    for later in [s for s in self.steps() if s > step]:
      shutil.rmtree(self._path(later))

  def _path(self, step: int) -> Path:
    return self.folder / f"{step:08d}"

  def _commit(self, temporary: Path, step: int) -> None:
    """Renames a finished checkpoint; replaces an older one of the same step."""
    target = self._path(step)
    replaced = temporary.with_suffix(".old")
    if target.exists():
      os.rename(target, replaced)
    os.rename(temporary, target)
    files.sync(self.folder)  # before older checkpoints are deleted
    shutil.rmtree(replaced, ignore_errors=True)

  def _clean(self) -> None:
    """Deletes leftovers of a killed save; only one process ever saves to a folder."""
    for leftover in [*self.folder.glob(".*.tmp"), *self.folder.glob(".*.old")]:
      shutil.rmtree(leftover, ignore_errors=True)

  def _delete_old(self) -> None:
    """Deletes all but the newest checkpoints and the best one."""
    kept = {*self.steps()[-self.keep :], self.best()}
    for step in self.steps():
      if step not in kept:
        shutil.rmtree(self._path(step))

  def _choose(self, step: int | str | None) -> int:
    """Returns the step that ``restore``'s argument selects."""
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

  def _advice(self, bad: int, template: Any) -> str:
    """Names the newest other checkpoint that loads."""
    for step in reversed(self.steps()):
      if step == bad:
        continue
      try:
        checkpoint_files.read(self._path(step), step, template)
      except CheckpointError:
        continue
      return f"The last good checkpoint is step {step}: load it with --step={step}."
    return "No other checkpoint of this run loads."


def _is_full(error: BaseException | None) -> bool:
  """Returns whether an error or one of its causes is that of a full disk."""
  codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
  texts = [os.strerror(code).lower() for code in codes]
  while error is not None:
    if getattr(error, "errno", None) in codes or any(t in str(error).lower() for t in texts):
      return True
    error = error.__cause__ or error.__context__
  return False
