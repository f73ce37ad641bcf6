"""Only one process at a time writes to a folder; the kernel releases the lock."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import runtime_probe

from mbrl_jax.runtime.storage import lock, run_folder
from mbrl_jax.runtime.storage.files import RunFolderError

ROOT = Path(__file__).parents[3]
HOLD = """
import sys, time
from pathlib import Path
from mbrl_jax.runtime.storage import lock
with lock.writing(Path(sys.argv[1])):
  print("held", flush=True)
  time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
  """Another process that has locked the folder ``run``, which holds a run."""
  run_folder.create(tmp_path / "run", {"algo": "probe"})
  child = subprocess.Popen(
    [sys.executable, "-c", HOLD, tmp_path / "run"], stdout=subprocess.PIPE, text=True, cwd=ROOT
  )
  assert child.stdout.readline() == "held\n"
  yield child
  child.kill()
  child.wait()


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path, holder):
  folder = tmp_path / "run"
  message = rf"run is being .* by process {holder.pid}: wait"
  with pytest.raises(RunFolderError, match=message), lock.writing(folder):
    pass
  before = {path: path.read_bytes() for path in folder.iterdir()}
  with pytest.raises(RunFolderError, match=f"process {holder.pid}"):
    runtime_probe.run(folder, 4, resume=True)
  assert before == {path: path.read_bytes() for path in folder.iterdir()}
  os.kill(holder.pid, signal.SIGKILL)
  holder.wait()
  with lock.writing(folder):
    assert (folder / lock.NAME).read_text() == f"{os.getpid()}\n"


def test_either_all_folders_are_locked_or_none(tmp_path, holder):
  (tmp_path / "free").mkdir()
  with pytest.raises(RunFolderError), lock.writing(tmp_path / "free", tmp_path / "run"):
    pass
  with open(tmp_path / "free" / lock.NAME) as file:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_process_may_lock_a_folder_again_under_another_name(tmp_path):
  (tmp_path / "link").symlink_to(tmp_path)
  with open(tmp_path / lock.NAME, "w") as file:
    with lock.writing(tmp_path), lock.writing(tmp_path / "link"):
      pass
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlocked again


def test_a_deleted_lock_file_is_created_again(tmp_path, monkeypatch):
  """The previous owner may delete the file between opening and locking."""
  flock, times = fcntl.flock, []

  def delete_then_lock(descriptor, operation):
    times.append(descriptor)
    if len(times) == 1:
      (tmp_path / lock.NAME).unlink()
    flock(descriptor, operation)

  monkeypatch.setattr(fcntl, "flock", delete_then_lock)
  with lock.writing(tmp_path):
    assert (tmp_path / lock.NAME).exists() and len(times) == 2


def test_a_file_system_without_locks_gives_a_warning(tmp_path, monkeypatch):
  def refuse(descriptor, operation):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

  monkeypatch.setattr(fcntl, "flock", refuse)
  with pytest.warns(RuntimeWarning, match="without locks"), lock.writing(tmp_path):
    pass
