"""The training loop: exact resume, stops by signal and by divergence, and the files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import runtime_probe
import scipy.io

from mbrl_jax.runtime.storage import pytree_io, resume_config, run_folder
from mbrl_jax.runtime.storage.checkpoint import CheckpointError, Checkpoints
from mbrl_jax.runtime.storage.csv_log import evaluations, read_table
from mbrl_jax.runtime.training import loop

WRITTEN = ("metrics.csv", "metrics.jsonl")
PROGRAM = Path(runtime_probe.__file__)
ROOT = PROGRAM.parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def program(*arguments) -> str:
  command = [sys.executable, PROGRAM, *map(str, arguments)]
  done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
  assert done.returncode == 0, done.stderr[-3000:]
  return done.stdout


def newest_manifest(path: Path) -> dict:
  """Returns the newest checkpoint's manifest, whose checksums stand for the state's bits."""
  checkpoint = max((path / "checkpoints").iterdir())
  manifest = json.loads((checkpoint / "manifest.json").read_text())
  with np.load(checkpoint / "host.npz") as host:
    return manifest | {"host": {k: v.tobytes() for k, v in host.items()}}


def assert_same_runs(a: Path, b: Path) -> None:
  assert newest_manifest(a) == newest_manifest(b)
  logs = sorted(p.name for p in a.glob("logs*"))
  assert logs and logs == sorted(p.name for p in b.glob("logs*"))
  for name in [*WRITTEN, *(n for n in logs if n.endswith("mat"))]:
    assert (a / name).read_bytes() == (b / name).read_bytes(), name
  for name in (n for n in logs if n.endswith("npz")):
    with np.load(a / name) as x, np.load(b / name) as y:
      assert set(x) == set(y)
      for key in x:
        assert x[key].tobytes() == y[key].tobytes(), (name, key)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
  """A run of 48 steps without interruption."""
  path = tmp_path_factory.mktemp("runs") / "whole"
  runtime_probe.run(path, 48)
  return path


def test_2n_steps_equal_n_steps_restored_for_n_more(tmp_path, whole):
  """The interruption at 26 of 48 steps is inside an episode."""
  runtime_probe.run(tmp_path / "parts", 26)
  program(tmp_path / "parts", 48, "resume")
  assert_same_runs(whole, tmp_path / "parts")
  assert len(read_table(whole / "metrics.csv")) >= 8


@pytest.mark.parametrize("seeds", [pytest.param(None, marks=pytest.mark.slow), [3, 4]])
def test_eight_environments_resume_exactly(tmp_path, seeds):
  """All eight have an open episode at the interruption."""
  several = {"envs": 8, "steps": 16, "seeds": seeds, "when": {"eval_steps": 32}}
  runtime_probe.run(tmp_path / "whole", 192, **several)
  runtime_probe.run(tmp_path / "parts", 80, **several)
  runtime_probe.run(tmp_path / "parts", 192, resume=True, **several)
  assert_same_runs(tmp_path / "whole", tmp_path / "parts")
  rows = read_table(tmp_path / "whole" / "metrics.csv")
  own = [row for row in rows if not seeds or row["seed"] == 3]
  steps = [row["step"] for row in own]
  assert steps == sorted(set(steps)), "two episodes end at one step"
  open_steps = 192 - sum(row["length"] for row in own)
  assert 0 <= open_steps < 8 * runtime_probe.LENGTH
  with np.load(tmp_path / "whole" / ("logs_seed3.npz" if seeds else "logs.npz")) as logs:
    for obs, reward, length in zip(
      logs["observations"], logs["rewards"], logs["lengths"], strict=True
    ):
      np.testing.assert_array_equal(obs[1 : length + 1, 0], reward[:length])


@pytest.mark.slow
def test_seeds_resume_exactly_with_their_evaluations(tmp_path):
  seeds = {"seeds": [3, 4], "when": {"eval_every": 1}}
  runtime_probe.run(tmp_path / "whole", 28, **seeds)
  runtime_probe.run(tmp_path / "parts", 14, **seeds)
  program(tmp_path / "parts", 28, "resume", "seeds")
  assert_same_runs(tmp_path / "whole", tmp_path / "parts")
  rows = read_table(tmp_path / "whole" / "metrics.csv")
  assert {row["seed"] for row in rows} == {3, 4}
  assert len({row["return"] for row in rows}) == len(rows)


def test_evaluations_by_steps_have_their_own_table_and_resume(tmp_path):
  """Chunks have 2 steps and episodes at most 6: evaluations do not wait for their end."""
  when = {"eval_steps": 10, "checkpoint_steps": 8}
  runtime_probe.run(tmp_path / "whole", 28, when=when)
  rows = evaluations(tmp_path / "whole")
  assert [row["step"] for row in rows] == [10, 20]
  assert all(set(row) == {"step", "eval/return", "eval/return_std"} for row in rows)
  assert not any("eval/return" in row for row in read_table(tmp_path / "whole/metrics.csv"))
  runtime_probe.run(tmp_path / "parts", 14, when=when)
  runtime_probe.run(tmp_path / "parts", 28, when=when, resume=True)
  assert_same_runs(tmp_path / "whole", tmp_path / "parts")
  assert evaluations(tmp_path / "parts") == rows
  assert [c.name for c in sorted((tmp_path / "whole/checkpoints").iterdir())][-1] == "00000028"


def test_all_seeds_are_evaluated_whichever_ended_an_episode(tmp_path):
  runtime_probe.run(tmp_path / "a", 8, seeds=[3, 4], when={"eval_steps": 2})
  rows = evaluations(tmp_path / "a")
  assert [(row["step"], row["seed"]) for row in rows] == [
    (step, seed) for step in (2, 4, 6, 8) for seed in (3, 4)
  ]


def test_resuming_an_older_checkpoint_drops_later_files(tmp_path, whole):
  again = shutil.copytree(whole, tmp_path / "again")
  steps = Checkpoints(again / "checkpoints").steps()
  assert len(steps) >= 2
  runtime_probe.run(again, 48, resume=steps[0])
  assert_same_runs(whole, again)


@pytest.mark.parametrize(
  "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_saves_and_the_run_resumes_exactly(tmp_path, whole, number):
  folder = tmp_path / "stopped"
  command = [sys.executable, PROGRAM, folder, "48", "slow"]
  child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
  assert any("trial" in line for line in iter(child.stdout.readline, ""))
  child.send_signal(number)
  rest = child.stdout.read()
  assert child.wait() == 0
  step = int(rest.split("end ")[1].split()[0])
  assert 0 < step < 48 and str(int(number)) in rest.split("end ")[1]
  assert max(Checkpoints(folder / "checkpoints").steps()) == step
  if number == signal.SIGTERM:
    runtime_probe.run(folder, 48, resume=True)
    assert newest_manifest(folder)["leaves"] == newest_manifest(whole)["leaves"]
    rows = (folder / "metrics.csv", whole / "metrics.csv")
    returns = [[row["return"] for row in read_table(path)] for path in rows]
    assert returns[0] == returns[1]


def test_divergence_names_the_metric_and_keeps_the_last_finite_state(tmp_path):
  with pytest.raises(loop.Diverged, match=r"parameter learn\.w is not finite after step 8"):
    runtime_probe.run(tmp_path / "run", 24, poison=8)
  state = runtime_probe.init_state(
    runtime_probe.probe_algorithm(), runtime_probe.ProbeEnv(), jax.random.key(0)
  )
  back = Checkpoints(tmp_path / "run" / "checkpoints").restore(state)
  assert back.step == 8
  assert all(np.all(np.isfinite(x)) for x in pytree_io.flatten(back.state).values() if x.size)


def test_logs_have_the_original_keys_and_shapes(whole):
  mat = scipy.io.loadmat(whole / "logs.mat")
  rows = read_table(whole / "metrics.csv")
  count, longest = len(rows), int(max(row["length"] for row in rows))
  assert mat["observations"].shape == (count, longest + 1, 2)
  assert mat["actions"].shape == (count, longest, 1)
  assert mat["rewards"].shape == (count, longest)
  assert mat["returns"].shape == (1, count - 1)
  planned = [row["return"] for row in rows if not row["random"]]
  np.testing.assert_allclose(mat["returns"][0], planned, rtol=1e-5)
  for i, row in enumerate(rows):
    length = int(row["length"])
    assert np.all(np.isfinite(mat["observations"][i, : length + 1]))
    assert np.all(np.isnan(mat["rewards"][i, length:]))
    np.testing.assert_allclose(mat["rewards"][i, :length].sum(), row["return"], rtol=1e-4)


def test_rows_hold_the_metrics_of_each_episode(tmp_path):
  runtime_probe.run(tmp_path / "run", 30, when={"eval_every": 2})
  rows = read_table(tmp_path / "run" / "metrics.csv")
  assert rows[0]["random"] == 1 and "best" not in rows[0] and rows[0]["trial"] == 0
  assert [row["trial"] for row in rows[1:]] == list(range(1, len(rows)))
  assert [row["episode"] for row in rows] == list(range(1, len(rows) + 1))
  best = np.maximum.accumulate([row["return"] for row in rows[1:]])
  np.testing.assert_allclose([row["best"] for row in rows[1:]], best)
  assert all(row["planner/nonfinite"] == row["length"] for row in rows)
  assert all("model/loss" in row for row in rows)
  assert [("eval/return" in row) for row in rows[1:]] == [
    row["trial"] % 2 == 0 for row in rows[1:]
  ]
  timing = read_table(tmp_path / "run" / "timing.csv")
  assert len(timing) == len(rows) and all(row["seconds"] > 0 for row in timing)


def test_predictions_are_written_with_the_observations(tmp_path):
  runtime_probe.run(tmp_path / "run", 18, predict=True)
  paths = sorted((tmp_path / "run" / "predictions").iterdir())
  assert paths and paths[0].name == "trial001.npz"
  with np.load(paths[0]) as file:
    steps = len(file["actions"])
    assert file["predictions"].shape == (steps, 4, 5, 2)
    assert file["observations"].shape == (steps + 1, 2)


def test_unusable_folders_are_refused_with_reasons(tmp_path):
  runtime_probe.run(tmp_path / "run", 6)
  before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
  with pytest.raises(run_folder.RunFolderError, match=r"holds a run[\s\S]*--resume"):
    runtime_probe.run(tmp_path / "run", 6)
  assert before == {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
  (tmp_path / "other").mkdir()
  (tmp_path / "other" / "thesis.tex").write_text("x")
  with pytest.raises(run_folder.RunFolderError, match="not empty"):
    run_folder.create(tmp_path / "other", {})
  with pytest.raises(run_folder.RunFolderError, match="not the folder of a run"):
    runtime_probe.run(tmp_path / "other", 6, resume=True)
  with pytest.raises(run_folder.RunFolderError, match="no folder"):
    run_folder.open_run(tmp_path / "nowhere")
  folder = run_folder.create(tmp_path / "fresh", {"a": 1, "b": {"c": [1], "d": 2}})
  with pytest.raises(CheckpointError, match="no checkpoint in"):
    runtime_probe.run(tmp_path / "fresh", 6, resume=4)
  resume_config.check_config(folder, {"a": 1, "b": {"c": (1,), "d": 2}})
  with pytest.raises(run_folder.RunFolderError, match=r"b\.d: the run has 2, requested 3"):
    resume_config.check_config(folder, {"a": 1, "b": {"c": [1], "d": 3}})


def test_a_run_killed_before_its_first_checkpoint_starts_over(tmp_path):
  runtime_probe.run(tmp_path / "whole", 6)
  runtime_probe.run(tmp_path / "killed", 6)
  for path in (tmp_path / "killed" / "checkpoints").iterdir():
    shutil.rmtree(path)
  runtime_probe.run(tmp_path / "killed", 6, resume=True)
  for name in ("metrics.csv", "metrics.jsonl"):
    whole = (tmp_path / "whole" / name).read_bytes()
    assert (tmp_path / "killed" / name).read_bytes() == whole


def test_versions_do_not_identify_the_host():
  import getpass
  import socket

  text = json.dumps(run_folder.versions())
  assert socket.gethostname() not in text and str(Path.home()) not in text
  assert f'"{getpass.getuser()}"' not in text
