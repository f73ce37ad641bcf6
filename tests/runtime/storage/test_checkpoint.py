"""Checkpoints: bit-exact, retained, atomic under kill -9; damage is reported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from mbrl_jax.runtime.storage import files, pytree_io
from mbrl_jax.runtime.storage.checkpoint import CheckpointError, Checkpoints
from mbrl_jax.types import TrainState

ROOT = Path(__file__).parents[3]


def make_state(seed: int = 0, width: int = 3) -> TrainState:
  key, half = jax.random.key(seed), jnp.full((5,), 1 / 3, jnp.bfloat16)
  return TrainState(
    learn={"w": jax.random.normal(key, (4, width)), "half": half},
    carry=(jnp.arange(3), jnp.zeros((0, 2)), jnp.array([True, False]), jnp.float32(jnp.nan)),
    rollout=None,
    key=jax.random.split(key, 2),
    steps=jnp.int32(seed),
  )


def assert_same(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for path, x in pytree_io.flatten(a).items():
    y = pytree_io.flatten(b)[path]
    assert x.dtype == y.dtype and x.shape == y.shape, path
    assert x.tobytes() == y.tobytes(), path


def test_restores_bit_for_bit(tmp_path):
  store = Checkpoints(tmp_path)
  state = make_state(7)
  store.save(20, state, host={"open": np.arange(4.0), "trial": np.int64(3)})
  back = store.restore(make_state(0))
  assert_same(back.state, state)
  assert back.step == 20
  np.testing.assert_array_equal(back.host["open"], np.arange(4.0))
  assert back.host["trial"] == 3
  assert back.state.learn["half"].dtype == ml_dtypes.bfloat16
  assert jax.random.key_impl(back.state.key) == jax.random.key_impl(state.key)
  jax.random.split(back.state.key[0])


AWKWARD = [
  "exp[1]", "[!a]", "back\\slash", "a*b", "a?b", "sp ace", "new\nline", "ünï", "{x}", "%s%20",
  "#1", "-lead", "~", "gs:", "$HOME", "'", '"', "x" * 255, os.fsdecode(b"\xff"),
]  # fmt: skip


def test_a_folder_may_have_any_name(tmp_path, monkeypatch):
  state = {"w": np.arange(5.0)}
  Checkpoints(tmp_path / "aXb" / "c").save(1, {"w": np.zeros(5)})  # a*b as a pattern
  for i, name in enumerate(AWKWARD):
    folder = tmp_path / name / "c"
    store = Checkpoints(folder)
    store.save(1, state)
    store.save(2, state)
    np.testing.assert_array_equal(store.restore(state).state["w"], state["w"])
    assert sorted(path.name for path in folder.iterdir()) == ["00000001", "00000002"]
    monkeypatch.chdir(folder)
    for path in (".", f"../../{name}/c/"):
      assert Checkpoints(path).restore(state).step == 2
    (tmp_path / f"link[{i}]").symlink_to(folder)
    Checkpoints(tmp_path / f"link[{i}]").save(3, state)
    assert store.restore(state).step == 3


@pytest.mark.parametrize("what", ["state", "host.npz", "manifest.json"])
def test_a_checkpoint_that_does_not_read_back_is_deleted_and_older_ones_kept(
  tmp_path, what, monkeypatch
):
  """The disk or the storage library loses data without an error."""
  store, state = Checkpoints(tmp_path, keep=1), {"w": np.arange(5.0)}
  store.save(1, state)
  sync_tree = files.sync_tree

  def lose(folder):
    sync_tree(folder)
    (corrupt_all if what == "state" else lambda f: (f / what).write_bytes(b"PK"))(folder)

  monkeypatch.setattr(files, "sync_tree", lose)
  with pytest.raises(
    CheckpointError, match=r"does not read back[\s\S]*intact: \[1\]"
  ) as caught:
    store.save(2, state)
  assert what in str(caught.value) or "w: cannot be read" in str(caught.value)
  assert [p.name for p in tmp_path.iterdir()] == ["00000001"]
  np.testing.assert_array_equal(store.restore(state).state["w"], state["w"])


def test_keeps_newest_and_best(tmp_path):
  store = Checkpoints(tmp_path, keep=2)
  for step, score in [(1, None), (2, 5.0), (3, 1.0), (4, float("nan")), (5, 2.0)]:
    store.save(step, make_state(step), score=score)
  assert store.steps() == [2, 4, 5]
  assert store.best() == 2
  assert int(store.restore(make_state(), "best").state.steps) == 2
  assert int(store.restore(make_state(), 4).state.steps) == 4
  store.discard_after(2)
  assert store.steps() == [2]


def test_saving_a_step_again_replaces_it(tmp_path):
  store = Checkpoints(tmp_path)
  store.save(1, make_state(1))
  store.save(1, make_state(9))
  assert_same(store.restore(make_state()).state, make_state(9))
  assert [p.name for p in tmp_path.iterdir()] == ["00000001"]


def test_differing_leaves_are_named(tmp_path):
  store = Checkpoints(tmp_path)
  store.save(1, make_state(1))
  with pytest.raises(CheckpointError) as caught:
    store.restore(make_state(0, width=5))
  text = str(caught.value)
  assert "learn.w: expected float32[4, 5], found float32[4, 3]" in text
  with pytest.raises(CheckpointError) as caught:
    store.restore({"other": jnp.zeros(2)})
  assert "other: expected float32[2], not in the checkpoint" in str(caught.value)
  assert "key: not expected, found key<fry>[2]" in str(caught.value)


def corrupt_all(folder):
  for path in folder.rglob("*"):
    if path.is_file() and path.parent.name == "d":
      path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_damage_is_named_with_the_last_good_step(tmp_path):
  store = Checkpoints(tmp_path, keep=3)
  for step in (1, 2, 3):
    store.save(step, make_state(step))
  corrupt_all(tmp_path / "00000003")
  with pytest.raises(CheckpointError) as caught:
    store.restore(make_state())
  text = str(caught.value)
  assert "damaged" in text and "learn.w" in text and "--step=2" in text
  assert int(store.restore(make_state(), 2).state.steps) == 2

  manifest = tmp_path / "00000002" / "manifest.json"
  table = json.loads(manifest.read_text())
  table["leaves"]["learn.w"]["crc32"] += 1
  manifest.write_text(json.dumps(table))
  with pytest.raises(CheckpointError, match=r"learn\.w: the checksum does not match"):
    store.restore(make_state(), 2)
  (tmp_path / "00000001" / "manifest.json").unlink()
  with pytest.raises(CheckpointError, match=r"not a checkpoint of mbrl_jax[\s\S]*No other"):
    store.restore(make_state(), 1)


def test_folders_of_other_names_are_no_checkpoints(tmp_path):
  for name in (
    "00000020",
    "123456789",
    "30",
    "000000040",
    "\u00b2" * 8,
    "\u0663" * 8,
    "00000050.old",
  ):
    (tmp_path / name).mkdir()
  assert Checkpoints(tmp_path).steps() == [20, 123456789]


def test_empty_and_unknown_steps(tmp_path):
  store = Checkpoints(tmp_path / "none")
  with pytest.raises(CheckpointError, match="no checkpoint in"):
    store.restore(make_state())
  store.save(4, make_state())
  with pytest.raises(CheckpointError, match=r"no checkpoint of step 5; there are \[4\]"):
    store.restore(make_state(), 5)
  with pytest.raises(ValueError, match="keep"):
    Checkpoints(tmp_path, keep=0)


FULL = """
import resource, signal, sys
import numpy as np
from mbrl_jax.runtime.storage.checkpoint import CheckpointError, Checkpoints
store = Checkpoints(sys.argv[1])
state = {"w": np.random.default_rng(0).normal(size=200_000)}
store.save(1, state)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
try:
  store.save(2, state)
except CheckpointError as error:
  assert "No space left" in str(error) and "[1]" in str(error), error
else:
  sys.exit("the second save should have failed")
assert np.array_equal(store.restore(state).state["w"], state["w"]) and store.steps() == [1]
import os
assert os.listdir(sys.argv[1]) == ["00000001"], os.listdir(sys.argv[1])
"""


def test_a_full_disk_is_reported_and_keeps_earlier_checkpoints(tmp_path):
  """A file-size limit makes real writes fail, inside orbax's C++ as well."""
  command = [sys.executable, "-c", FULL, tmp_path]
  done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
  assert done.returncode == 0, done.stderr[-3000:]


LOOP = """
import sys
import numpy as np
from mbrl_jax.runtime.storage.checkpoint import Checkpoints
store = Checkpoints(sys.argv[1])
step = max(store.steps(), default=0)
while True:
  step += 1
  store.save(step, {"w": np.full(50_000, float(step)), "s": np.int32(step)}, score=float(step))
  print(step, flush=True)
"""


def test_kill_during_save_leaves_a_complete_checkpoint(tmp_path):
  template = {"w": np.zeros(50_000), "s": np.int32(0)}
  store = Checkpoints(tmp_path)
  rng = np.random.default_rng(0)
  for _ in range(5):
    child = subprocess.Popen(
      [sys.executable, "-c", LOOP, tmp_path], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    reported = int(child.stdout.readline())
    time.sleep(rng.uniform(0.0, 0.12))
    os.kill(child.pid, signal.SIGKILL)
    reported = [reported, *map(int, child.stdout.read().split())][-1]
    child.wait()
    back = store.restore(template)
    assert back.step in (reported, reported + 1)
    assert int(back.state["s"]) == back.step
    np.testing.assert_array_equal(back.state["w"], float(back.step))
