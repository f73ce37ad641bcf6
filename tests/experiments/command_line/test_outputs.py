"""Output paths are checked before the work; files are written completely or not at all."""

import errno
import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments.command_line import outputs
from experiments.command_line.cli import UsageError
from mbrl_jax.runtime.rendering import plots, video
from mbrl_jax.runtime.storage import files, function_export


def test_the_check_of_a_writable_path_creates_nothing(tmp_path):
  for path in (tmp_path / "new" / "er" / "a.png", tmp_path / "a.png", "a.png"):
    assert outputs.check_file(tmp_path / path, suffixes=(".png",)) == tmp_path / path
  assert outputs.check_folder(tmp_path / "run[1]" / "x") == tmp_path / "run[1]" / "x"
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("folder.png", "is a folder; give a file."),
    ("file/a.png", "file is a file, not a folder"),
    ("file/b/a.png", "file is a file, not a folder"),
    ("pipe.png", "is not a regular file"),
    ("a.xyz", "the name must end in .png or .pdf"),
    ("a", "the name must end in .png or .pdf"),
    ("n" * 300 + ".png", "File name too long"),
    ("n" * 250 + ".png", "File name too long"),  # of the temporary file
    ("n" * 300 + "/a.png", "File name too long"),
  ],
)
def test_a_file_that_cannot_be_written_is_refused(name, message, tmp_path):
  (tmp_path / "folder.png").mkdir()
  (tmp_path / "file").write_text("")
  os.mkfifo(tmp_path / "pipe.png")
  with pytest.raises(UsageError, match=message) as refused:
    outputs.check_file(tmp_path / name, suffixes=(".png", ".pdf"))
  assert str(refused.value).startswith(f"--out={tmp_path / name}")
  if name.startswith(("file", "n")):
    with pytest.raises(UsageError):
      outputs.check_folder(tmp_path / name)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOENT])
def test_a_folder_that_cannot_be_written_is_refused(code, tmp_path, monkeypatch):
  def refuse(**more):
    raise OSError(code, os.strerror(code), "#1234")

  monkeypatch.setattr(outputs.tempfile, "TemporaryFile", refuse)
  with pytest.raises(UsageError, match=f"cannot be written: {os.strerror(code)}"):
    outputs.check_folder(tmp_path / "new", "--logdir")


def test_the_error_of_a_full_disk_has_the_folder(tmp_path, monkeypatch):
  def fail(**more):
    raise OSError(errno.ENOSPC, "No space left on device")

  monkeypatch.setattr(outputs.tempfile, "TemporaryFile", fail)
  with pytest.raises(OSError, match="No space left on device") as full:
    outputs.check_file(tmp_path / "a.csv")
  assert full.value.filename == str(tmp_path)


def test_temporary_files_of_dead_processes_only_are_deleted(tmp_path):
  dead = subprocess.Popen([sys.executable, "-c", ""])
  dead.wait()
  left = [f".a.csv.{dead.pid}.tmp", f".b.csv.{dead.pid}.tmp"]
  kept = [f".a.csv.{os.getpid()}.tmp", ".a.csv.tmp", ".a.csv.x.tmp", "a.csv"]
  for name in (*left, *kept):
    (tmp_path / name).write_text("")
  outputs.check_file(tmp_path / "a.csv")
  assert {path.name for path in tmp_path.iterdir()} == {*kept, left[1]}
  outputs.check_folder(tmp_path)
  assert {path.name for path in tmp_path.iterdir()} == set(kept)


@pytest.mark.parametrize("name", ["a.csv", "a.png", "a.gif", "a.mp4", "a.bin"])
def test_a_full_disk_leaves_no_partial_file(name, tmp_path, monkeypatch):
  class Full(OSError):
    pass

  def fill(*given, **more):
    raise Full(errno.ENOSPC, "No space left on device")

  path = tmp_path / name
  path.write_text("old")
  monkeypatch.setattr(files.os, "fsync", fill)
  frames = np.zeros((2, 8, 8, 3), np.uint8)
  writers = {
    "a.csv": lambda: outputs.write_csv(path, ("x",), [{"x": 1}]),
    "a.png": lambda: plots.write_figure(Figure(), path),
    "a.gif": lambda: video.write_video(path, frames, 10.0),
    "a.mp4": lambda: video.write_video(path, frames, 10.0),
    "a.bin": lambda: function_export.export(
      lambda x: {"y": x["x"] + 1}, {"x": jnp.ones(1)}, tmp_path, "a"
    ),
  }
  if name == "a.mp4":
    monkeypatch.setattr(video.shutil, "which", lambda program: program)
    monkeypatch.setattr("mediapy.write_video", lambda path, *_, **__: (path.touch(), fill()))
  with pytest.raises(Full):
    writers[name]()
  if name == "a.mp4":
    assert list(tmp_path.iterdir()) == []  # ffmpeg replaces the file itself
    return
  assert [p.name for p in tmp_path.iterdir()] == [name] and path.read_text() == "old"
