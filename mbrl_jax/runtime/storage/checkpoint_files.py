"""Writes and reads the folder of one checkpoint, and verifies what it reads.

One checkpoint is one folder such as ``checkpoints/00000400/``::

  state/          the training state, written by orbax as one array per leaf
  host.npz        arrays of the host loop (open episodes, counters)
  manifest.json   step, score, and for each of these arrays its shape, dtype and CRC-32

The checksums find damage that the storage format itself does not detect.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mbrl_jax.runtime.storage import array_store, files, growth, pytree_io

MAX_LISTED = 20
"""Differing leaves listed in one message."""


class CheckpointError(RuntimeError):
  """A checkpoint cannot be written or read; the message gives the remedy."""


def write(
  folder: Path, step: int, state: Any, host: dict[str, np.ndarray], score: float | None
) -> None:
  """Writes a checkpoint to ``folder``, which must not exist, and flushes it to the disk."""
  folder.mkdir()
  arrays = pytree_io.flatten(state)
  host = {name: np.asarray(array) for name, array in host.items()}
  # Orbax refuses arrays without elements; the manifest alone describes them.
  array_store.save(folder / "state", {k: x for k, x in arrays.items() if x.size})
  files.write_npz(folder / "host.npz", host)
  manifest = {
    "step": step,
    "score": float(score) if score is not None and np.isfinite(score) else None,
    "leaves": _with_checksums(pytree_io.describe(state), arrays),
    "host": _with_checksums(pytree_io.describe(host), host),
  }
  files.write_json(folder / "manifest.json", manifest)
  files.sync_tree(folder)


def read(
  folder: Path, step: int, template: Any
) -> tuple[Any, pytree_io.Leaves, dict[str, np.ndarray]]:
  """Reads and verifies a checkpoint.

  Returns:
    The template with buffers of their saved size, the arrays of the state and those of the host
    loop.

  Raises:
    CheckpointError: it is damaged, or of another program; names the leaves that differ.
  """
  manifest = _read_manifest(folder, step)
  template = growth.as_saved(template, manifest["leaves"])
  wrong = pytree_io.differences(pytree_io.describe(template), manifest["leaves"])
  if wrong:
    title = f"Checkpoint {folder} is of another program or config"
    raise CheckpointError(_listing(title, wrong))
  arrays = _read_arrays(folder, template)
  damaged = _damaged(arrays, manifest["leaves"])
  try:
    host = files.read_npz(folder / "host.npz")
  except (OSError, files.RunFolderError) as error:
    raise CheckpointError(f"Checkpoint {folder} is damaged: {error}") from error
  if "host" in manifest:  # checkpoints of earlier versions have none
    damaged += [
      f"host.npz: {line}"
      for line in pytree_io.differences(manifest["host"], pytree_io.describe(host))
      or _damaged(host, manifest["host"])
    ]
  if damaged:
    raise CheckpointError(_listing(f"Checkpoint {folder} is damaged", damaged))
  return template, arrays, host


def read_leaf(folder: Path, path: str) -> np.ndarray:
  """Reads one array of the state by its dotted path.

  Raises:
    CheckpointError: it cannot be read.
  """
  try:
    return array_store.load(folder / "state", [path], partial=True)[path]
  except Exception as error:
    raise CheckpointError(f"Checkpoint {folder} is damaged: {path} cannot be read.") from error


def read_score(folder: Path) -> float | None:
  """Returns the score; ``None``: it has none, is not finite or cannot be read."""
  try:
    score = json.loads((folder / "manifest.json").read_text())["score"]
    return float(score) if np.isfinite(score) else None
  except (OSError, ValueError, KeyError, TypeError):
    return None


def _read_manifest(folder: Path, step: int) -> dict[str, Any]:
  """Reads and checks ``manifest.json``."""
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


def _read_arrays(folder: Path, template: Any) -> pytree_io.Leaves:
  """Reads the arrays of the state; a failure names those that cannot be read."""
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


def _loads(folder: Path, path: str) -> bool:
  try:
    array_store.load(folder, [path], partial=True)
  except Exception:
    return False
  return True


def _with_checksums(table: dict[str, dict], arrays: pytree_io.Leaves) -> dict[str, dict]:
  return {k: {**leaf, "crc32": pytree_io.checksum(arrays[k])} for k, leaf in table.items()}


def _damaged(arrays: pytree_io.Leaves, table: dict[str, dict]) -> list[str]:
  """Returns a message for each array whose checksum differs."""
  return [
    f"{path}: the checksum does not match"
    for path, array in arrays.items()
    if pytree_io.checksum(array) != table[path]["crc32"]
  ]


def _listing(title: str, lines: list[str]) -> str:
  """Formats a title and at most ``MAX_LISTED`` lines."""
  rest = [f"... and {len(lines) - MAX_LISTED} more"] if len(lines) > MAX_LISTED else []
  return "\n  ".join([f"{title}:", *lines[:MAX_LISTED], *rest])
