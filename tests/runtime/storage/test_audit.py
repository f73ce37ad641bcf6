"""A run's files are verified against its newest checkpoint."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import runtime_probe

from mbrl_jax.runtime.storage import audit, resume_config, run_folder
from mbrl_jax.runtime.storage.files import RunFolderError
from mbrl_jax.runtime.storage.run_folder import RunFolder

NAMES = ("metrics.csv", "metrics.jsonl", "evaluations.csv", "logs.npz")


def test_a_run_passes_before_and_after_its_length_grows(tmp_path):
  path, config = tmp_path / "run", {"algo": "probe", "config": {"steps": 12}}
  folder = run_folder.create(path, config)
  runtime_probe.run(path, 12, resume=True, when={"grows": "config.steps"})
  audit.check(folder)
  resume_config.extend(folder, {**config, "config": {"steps": 24}}, "config.steps")
  audit.check(folder)
  runtime_probe.run(path, 24, resume=True, when={"grows": "config.steps"})
  audit.check(folder)


def test_changes_before_the_newest_checkpoint_are_found_and_later_rows_ignored(tmp_path):
  path = tmp_path / "run"
  runtime_probe.run(path, 18, when={"eval_steps": 6, "checkpoint_steps": 12})
  shutil.rmtree(path / "checkpoints" / "00000018")
  audit.check(RunFolder(path), *NAMES)  # rows to step 18, the checkpoint is of step 12
  last = (path / "metrics.csv").read_text().splitlines()[-1]
  assert last.startswith("18,")
  for name in NAMES[:3]:
    good = (path / name).read_text()
    digit = next(i for i, letter in enumerate(good) if letter.isdigit() and good[i - 1] == ".")
    (path / name).write_text(good[:digit] + str(9 - int(good[digit])) + good[digit + 1 :])
    with pytest.raises(RunFolderError, match=rf"{name}.* not those that the run wrote"):
      audit.check(RunFolder(path), *NAMES)
    audit.check(RunFolder(path), *(other for other in NAMES if other != name))
    (path / name).write_text(good)
  with np.load(path / "logs.npz") as file:
    arrays = dict(file)
  arrays["rewards"][0, 0] += 1
  np.savez(path / "logs.npz", **arrays)
  with pytest.raises(RunFolderError, match=r"logs\.npz.* not those that the run wrote"):
    audit.check(RunFolder(path), "logs.npz")
  (path / "config.json").write_text('{"algo": "sac"}')
  with pytest.raises(RunFolderError, match=r"config\.json was changed"):
    audit.check(RunFolder(path))
  shutil.rmtree(path / "checkpoints")
  audit.check(RunFolder(path), *NAMES)
