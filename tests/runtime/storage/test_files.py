"""Atomic writes, and npz files whose damage is detected."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.files import RunFolderError


def test_a_failed_write_keeps_the_old_file(tmp_path):
  files.write_text(tmp_path / "a", "old")
  with pytest.raises(ZeroDivisionError):
    files.write_atomic(tmp_path / "a", lambda file: (file.write(b"new"), 1 / 0))
  assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]


def test_a_full_disk_names_the_file(tmp_path):
  def fill(file):
    raise OSError(errno.ENOSPC, "No space left on device")

  with pytest.raises(OSError) as full:
    files.write_atomic(tmp_path / "a", fill)
  assert full.value.filename == str(tmp_path / "a") and os.listdir(tmp_path) == []


def test_every_damage_to_a_file_is_detected_or_harmless(tmp_path):
  """Truncated and with one byte changed, at every seventh byte."""
  path = tmp_path / "a.npz"
  arrays = {"a": np.arange(5), "b": np.ones((2, 3), np.float32)}
  np.savez(path, **arrays)
  data, seen = path.read_bytes(), 0
  for i in range(0, len(data), 7):
    for damaged in (data[:i], data[:i] + bytes([data[i] ^ 0x10]) + data[i + 1 :]):
      path.write_bytes(damaged)
      try:
        found = files.read_npz(path)
      except RunFolderError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        seen += 1
      else:
        same = [k in found and np.array_equal(found[k], arrays[k]) for k in arrays]
        assert all(same) or set(found) != set(arrays)
  assert seen > len(data) // 7
  path.write_text("obs,action\n1,2\n")
  with pytest.raises(RunFolderError, match="not an npz file"):
    files.read_npz(path)
