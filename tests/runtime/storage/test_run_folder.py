"""Run folders: created atomically; their contents are checked."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mbrl_jax.runtime.storage import lock, resume_config, run_folder
from mbrl_jax.runtime.storage.run_folder import RunFolder, RunFolderError

ROOT = Path(__file__).parents[3]

KILL = """
import os, sys
from pathlib import Path
from mbrl_jax.runtime.storage import run_folder

run_folder.versions = lambda: {"packages": {}}
events = ("open", "os.mkdir", "os.rename", "os.remove", "os.truncate")
folder = Path(sys.argv[1])

def dies_at(number):
  def hook(event, arguments):
    global number_of_events
    if event in events and str(folder) in str(arguments[0]):
      number_of_events += 1
      if number_of_events > number:
        os._exit(9)
  return hook

for number in range(100):
  path, number_of_events = folder / str(number), 0
  child = os.fork()
  if not child:
    sys.addaudithook(dies_at(number))
    run_folder.create(path, {"seed": 1})
    os._exit(0)
  done = os.waitpid(child, 0)[1] == 0
  if (path / "config.json").exists():
    print("resumes", run_folder.open_run(path).config()["seed"])
  else:
    run_folder.create(path, {"seed": 1})
    print("again", sorted(p.name for p in path.iterdir()))
  if done:
    break
"""


def test_a_creation_killed_at_any_point_can_be_resumed_or_repeated(tmp_path):
  """Killed before each of its file operations in turn."""
  command = [sys.executable, "-c", KILL, tmp_path]
  done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
  assert done.returncode == 0, done.stderr[-3000:]
  lines = done.stdout.splitlines()
  assert len(lines) > 5 and set(lines) == {
    "again ['.lock', 'config.json', 'versions.json']",
    "resumes 1",
  }


def test_a_new_run_that_fails_before_anything_is_stored_leaves_nothing(tmp_path):
  (tmp_path / "empty").mkdir()
  for name in ("new", "empty"):
    with pytest.raises(KeyboardInterrupt), run_folder.new_run(tmp_path / name, {}) as folder:
      (folder.path / "tensorboard").mkdir()
      raise KeyboardInterrupt
  assert [path.name for path in tmp_path.rglob("*")] == ["empty"]
  for stored in ("metrics.csv", "checkpoints/00000010"):
    with pytest.raises(ZeroDivisionError), run_folder.new_run(tmp_path / "new", {}) as folder:
      (folder.path / stored).mkdir(parents=True)
      raise ZeroDivisionError
    assert run_folder.open_run(tmp_path / "new").path == folder.path
    (folder.path / stored).rmdir()
    run_folder.discard_unused(folder)


def test_a_full_disk_during_creation_leaves_nothing(tmp_path, monkeypatch):
  def fill():
    raise OSError(errno.ENOSPC, "No space left on device")

  (tmp_path / "empty").mkdir()
  monkeypatch.setattr(run_folder, "versions", fill)
  for name in ("new", "empty"):
    with pytest.raises(OSError, match="No space"):
      run_folder.create(tmp_path / name, {})
  assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


def test_foreign_files_are_named_and_kept(tmp_path):
  (tmp_path / "versions.json").write_text("{}")
  with pytest.raises(RunFolderError, match=r"'versions\.json', but no config\.json"):
    run_folder.create(tmp_path, {})
  assert (tmp_path / "versions.json").read_text() == "{}"
  assert not (tmp_path / lock.NAME).exists()


def test_a_checkpoint_detects_a_changed_config(tmp_path):
  folder = run_folder.create(tmp_path / "run", {"a": 1, "b": {"c": 2}})
  host = {run_folder.CONFIG_CRC: folder.config_crc()}
  (folder.path / "config.json").write_text('{"b": {"c": 2},\n "a": 1}')
  folder.check_config_of(host)
  folder.check_config_of({})  # of an earlier version
  (folder.path / "config.json").write_text(json.dumps({"a": 1, "b": {"c": 3}}))
  with pytest.raises(RunFolderError, match="was changed"):
    folder.check_config_of(host)


def test_the_length_field_may_grow(tmp_path):
  folder = run_folder.create(tmp_path / "run", {"config": {"steps": 9, "c": 2}})
  grows = run_folder.CONFIG_GROWS
  crc = np.int64(folder.config_crc("config.steps"))
  host = {run_folder.CONFIG_CRC: crc, grows: np.asarray("config.steps")}
  folder.check_config_of(host)
  resume_config.extend(folder, {"config": {"steps": 20, "c": 2.0}}, "config.steps")
  assert folder.config() == {"config": {"steps": 20, "c": 2}}
  folder.check_config_of(host)
  (folder.path / "config.json").write_text(json.dumps({"config": {"steps": 20, "c": 3}}))
  with pytest.raises(RunFolderError, match="was changed"):
    folder.check_config_of(host)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"packages": 3}'])
def test_damaged_versions_are_reported(tmp_path, text):
  (tmp_path / "versions.json").write_text(text)
  with pytest.raises(RunFolderError, match=r"versions\.json"):
    run_folder.read_versions(RunFolder(tmp_path))
