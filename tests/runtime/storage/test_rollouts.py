"""Reading files of rollouts and predictions: errors name the array."""

from __future__ import annotations

import numpy as np
import pytest

from mbrl_jax.runtime.storage import predictions, rollouts
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
