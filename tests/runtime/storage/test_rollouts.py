"""Reading files of rollouts and predictions: errors name the array."""

from __future__ import annotations

import numpy as np
import pytest

from mbrl_jax.runtime.storage import files, predictions, rollouts
from mbrl_jax.runtime.storage.files import RunFolderError

LOGS = {
  "observations": np.zeros((2, 4, 3), np.float32),
  "actions": np.zeros((2, 3, 1), np.float32),
  "rewards": np.zeros((2, 3), np.float32),
  "poses": np.zeros((2, 3, 5), np.float32),
  "lengths": np.array([3, 2]),
  "steps": np.array([3, 5]),
  "random": np.array([True, False]),
  "terminated": np.array([False, True]),
}
PREDICTED = {
  "predictions": np.zeros((3, 4, 5, 2), np.float32),
  "observations": np.zeros((4, 2), np.float32),
}


def test_valid_files_are_read(tmp_path):
  np.savez(tmp_path / "logs.npz", **LOGS)
  assert set(rollouts.read(tmp_path / "logs.npz")) == set(LOGS)
  np.savez(tmp_path / "trial.npz", **PREDICTED)
  assert predictions.read(tmp_path / "trial.npz")[0].shape == (3, 4, 5, 2)


@pytest.mark.parametrize("name", LOGS)
def test_each_array_of_rollouts_is_checked(tmp_path, name):
  path = tmp_path / "logs.npz"
  array = LOGS[name]
  for wrong in (None, array[:1], array[..., None], array.astype(str), array.astype(object)):
    kept = {k: v for k, v in (LOGS | {name: wrong}).items() if v is not None}
    np.savez(path, **kept)
    with pytest.raises(RunFolderError, match=rf"logs\.npz.*{name}") as error:
      rollouts.read(path)
    assert "pickle" not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
  "wrong",
  [
    {"lengths": np.array([4, 2])},
    {"lengths": np.array([3, 0])},
    {"lengths": np.array([3, -1])},
    {"lengths": np.zeros(0, int)},
    {"steps": np.array([5, 3])},
    {"steps": np.array([-3, 3])},
  ],
)
def test_invalid_numbers_are_refused(tmp_path, wrong):
  np.savez(tmp_path / "logs.npz", **(LOGS | wrong))
  with pytest.raises(RunFolderError, match=r"logs\.npz"):
    rollouts.read(tmp_path / "logs.npz")


@pytest.mark.parametrize(
  "wrong",
  [
    {"observations": np.zeros((3, 2), np.float32)},
    {"observations": np.zeros((4, 1), np.float32)},
    {"predictions": np.zeros((3, 4, 5), np.float32)},
    {"predictions": np.zeros((3, 1, 5, 2), np.float32)},
    {"predictions": np.zeros((0, 4, 5, 2), np.float32)},
    {"predictions": np.array("x")},
  ],
)
def test_predictions_are_checked(tmp_path, wrong):
  np.savez(tmp_path / "trial.npz", **(PREDICTED | wrong))
  with pytest.raises(RunFolderError, match=r"trial\.npz"):
    predictions.read(tmp_path / "trial.npz")


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
