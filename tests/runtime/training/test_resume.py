"""Resuming a run: from the files that its checkpoint relies on, or not at all."""

from __future__ import annotations

import io
import shutil

import jax
import numpy as np
import pytest
import rich.console
import runtime_probe

from mbrl_jax.algorithms.step import init_state
from mbrl_jax.runtime.storage import files
from mbrl_jax.runtime.storage.checkpoint import CheckpointError, Checkpoints
from mbrl_jax.runtime.storage.files import RunFolderError
from mbrl_jax.runtime.storage.run_folder import RunFolder
from mbrl_jax.runtime.training.run import Run
from mbrl_jax.runtime.training.schedule import Schedule


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A run of 24 steps with evaluations, and the template of its state."""
  path = tmp_path_factory.mktemp("runs") / "whole"
  runtime_probe.run(path, 24, when={"eval_steps": 8})
  algorithm, env = runtime_probe.probe_algorithm(), runtime_probe.ProbeEnv()
  return path, init_state(algorithm, env, jax.random.key(0))


def resume(folder, state, step=True, output=None):
  schedule = Schedule(total_steps=24, eval_steps=8)
  console = rich.console.Console(file=output or io.StringIO(), width=999)
  opened = Run(state, RunFolder(folder), schedule, None, step, None, console)
  opened.close()
  return opened


def replace(old, new):
  return lambda path: path.write_bytes(path.read_bytes().replace(old, new, 1))


def drop_line(number):
  def drop(path):
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[number]
    path.write_bytes(b"".join(lines))

  return drop


def change_array(name, change):
  def damage(path):
    with np.load(path) as file:
      arrays = dict(file)
    np.savez(path, **(arrays | {name: change(arrays[name])}))

  return damage


def truncate(path):
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def remove(path):
  path.unlink()


def empty(path):
  path.write_bytes(b"")


def flip(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 0x55
  path.write_bytes(data)


def add_row(path):
  lines = path.read_bytes().splitlines(keepends=True)
  path.write_bytes(b"".join([*lines[:2], lines[1], *lines[2:]]))


TABLES = ("metrics.csv", "metrics.jsonl", "evaluations.csv")
OTHERS = ("timing.csv", "logs.npz")
DAMAGE = [
  *(
    (name, how)
    for name in (*TABLES, "timing.csv", "logs.npz")
    for how in (remove, empty, truncate)
  ),
  *((name, how) for name in (*TABLES, "logs.npz") for how in (flip, drop_line(2), add_row)),
  ("metrics.csv", replace(b"return", b"retain")),
  ("metrics.csv", replace(b".", b".1")),
  ("metrics.csv", replace(b",", b",,")),
  ("metrics.jsonl", replace(b'"return": ', b'"return": 1')),
  ("timing.csv", replace(b"\n6,", b"\n6,x")),
  ("timing.csv", drop_line(1)),
  ("logs.npz", change_array("rewards", lambda x: x + 1)),
  ("logs.npz", change_array("actions", lambda x: x[:, :1])),
  ("logs.npz", change_array("lengths", lambda x: x - 1)),
  ("logs.npz", change_array("random", lambda x: ~x)),
  ("logs.npz", change_array("poses", lambda x: x.astype(str))),
  ("logs.npz", change_array("steps", lambda x: x[::-1])),
  ("logs.npz", change_array("terminated", lambda x: x.astype(object))),
  ("config.json", replace(b"probe", b"probs")),
]


def contents(folder):
  found = {path for path in folder.rglob("*") if path.is_file()}
  return {p: p.read_bytes() for p in found if "tensorboard" not in p.parts}


def test_damaged_files_are_named_and_nothing_is_changed(tmp_path, whole):
  path, state = whole
  steps = Checkpoints(path / "checkpoints").steps()
  assert resume(shutil.copytree(path, tmp_path / "good"), state).step == 24
  for i, (name, damage) in enumerate(DAMAGE):
    folder = shutil.copytree(path, tmp_path / str(i))
    damage(folder / name)
    before = contents(folder)
    with pytest.raises(RunFolderError, match=name.replace(".", r"\.")) as error:
      resume(folder, state)
    assert "\n" not in str(error.value), (name, damage)
    assert contents(folder) == before, (name, damage)
    assert Checkpoints(folder / "checkpoints").steps() == steps


@pytest.mark.parametrize("name", [*TABLES, "timing.csv"])
def test_partial_rows_after_the_checkpoint_are_dropped(tmp_path, whole, name):
  path, state = whole
  folder = shutil.copytree(path, tmp_path / "run")
  with open(folder / name, "ab") as file:
    file.write(b"\0" * 300)
  resume(folder, state)
  assert (folder / name).read_bytes() == (path / name).read_bytes()


def test_an_earlier_checkpoint_relies_only_on_earlier_rows(tmp_path, whole):
  path, state = whole
  folder = shutil.copytree(path, tmp_path / "run")
  first = Checkpoints(folder / "checkpoints").steps()[0]
  lines = (folder / "metrics.csv").read_bytes().splitlines(keepends=True)
  (folder / "metrics.csv").write_bytes(b"".join(lines[:-1]) + b"24,oops\n")
  with pytest.raises(RunFolderError, match=r"metrics\.csv, line"):
    resume(folder, state)
  assert resume(folder, state, first).step == first
  assert Checkpoints(folder / "checkpoints").steps() == [first]


def test_a_checkpoint_of_another_step_or_host_is_refused(tmp_path, whole):
  path, state = whole
  first, *_, last = Checkpoints(path / "checkpoints").steps()
  moved = shutil.copytree(path, tmp_path / "moved") / "checkpoints"
  (moved / f"{last:08d}").rename(moved / "00000099")
  with pytest.raises(CheckpointError, match=f"it is of step {last}"):
    resume(tmp_path / "moved", state)
  mixed = shutil.copytree(path, tmp_path / "mixed") / "checkpoints"
  shutil.copy(mixed / f"{first:08d}" / "host.npz", mixed / f"{last:08d}" / "host.npz")
  with pytest.raises(CheckpointError, match=r"host\.npz: .*(checksum|expected)"):
    resume(tmp_path / "mixed", state)


def test_rows_are_synced_to_disk_before_their_checkpoint(tmp_path, monkeypatch):
  synced, at_rename = set(), []
  sync, commit = files.sync, Checkpoints._commit
  monkeypatch.setattr(files, "sync", lambda path: (synced.add(str(path)), sync(path)))

  def record(self, *arguments):
    at_rename.append({name for name in TABLES if str(tmp_path / "run" / name) in synced})
    assert str(tmp_path / "run") in synced
    synced.clear()
    commit(self, *arguments)

  monkeypatch.setattr(Checkpoints, "_commit", record)
  runtime_probe.run(tmp_path / "run", 12, when={"eval_steps": 6, "checkpoint_steps": 6})
  assert at_rename == [set(TABLES)] * 2


def test_without_a_checkpoint_damaged_files_are_dropped(tmp_path, whole):
  """A run that was killed before its first checkpoint starts over."""
  path, state = whole
  folder = shutil.copytree(path, tmp_path / "run")
  shutil.rmtree(folder / "checkpoints")
  for name in (*TABLES, *OTHERS):
    (folder / name).write_bytes(b"\0\xff,\n")
  assert resume(folder, state).step == 0
  assert not any((folder / name).exists() for name in TABLES)


def test_a_run_without_a_checkpoint_reports_that_it_starts_over(whole, tmp_path):
  path, state = whole
  folder, output = tmp_path / "run", io.StringIO()
  shutil.copytree(path, folder)
  resume(folder, state, output=output)
  assert output.getvalue() == ""
  shutil.rmtree(folder / "checkpoints")
  opened = resume(folder, state, output=output)
  assert (
    f"{folder} has no checkpoint: the run starts over and drops its rows" in output.getvalue()
  )
  assert opened.step == 0 and not RunFolder(folder).metrics.exists()
