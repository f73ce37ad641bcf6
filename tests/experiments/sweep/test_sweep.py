"""A sweep trains all combinations, summarises them, stops and resumes."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from sweep_calls import ROOT, TINY, sweep

from experiments.analysis import run_summary
from experiments.sweep import results, schedule
from mbrl_jax.runtime.storage.run_folder import RunFolder


def test_the_last_step_is_read_from_an_incomplete_table(tmp_path):
  folder = RunFolder(tmp_path)
  assert run_summary.last_step(folder) == 0
  folder.metrics.write_text("step,return\n")
  assert run_summary.last_step(folder) == 0
  folder.metrics.write_text("step,return\n10,1\n20,2\n3")
  assert run_summary.last_step(folder) == 20


def test_a_summary_has_means_over_seeds(tmp_path):
  folder = RunFolder(tmp_path)
  (tmp_path / "config.json").write_text('{"algo": "sac", "env": "pendulum", "seeds": 2}')
  folder.metrics.write_text("step,random,return\n10,0,1\n20,0,1\n")
  (tmp_path / "evaluations.csv").write_text(
    "step,seed,eval/return,eval/return_std\n10,0,9,1\n10,1,1,1\n20,0,5,1\n20,1,3,1\n"
  )
  (tmp_path / "timing.csv").write_text(
    "step,seed,seconds\n10,0,1.5\n10,1,1.5\n20,0,2.5\n20,1,2.5\n"
  )
  found = run_summary.summarise(folder)
  assert found == ("sac", "pendulum", 2, 20, 4.0, 1.0, 6.0, 4.0, None)
  (tmp_path / "evaluations.csv").unlink()
  folder.metrics.unlink()
  assert np.isnan(run_summary.summarise(folder).last)


@pytest.mark.slow
def test_a_sweep_from_the_command_line(tmp_path):
  folder = tmp_path / "sweep"
  swept = "--sweep.agent.updates_per_step=1,2"
  words = [*TINY, "--seeds=2", f"--logdir={folder}", swept, "--jobs=2"]
  done = sweep(*words)
  assert done.returncode == 0, done.stdout + done.stderr
  with open(folder / "sweep.csv", newline="") as file:
    rows = list(csv.DictReader(file))
  assert [(row["agent.updates_per_step"], row["status"], row["step"]) for row in rows] == [
    ("1", "done", "60"),
    ("2", "done", "60"),
  ]
  assert all(np.isfinite(float(row["last"])) for row in rows)
  config = json.loads((folder / "updates_per_step=2.0" / "config.json").read_text())
  assert config["seeds"] == 2 and config["config"]["agent"]["updates_per_step"] == 2
  assert (folder / "sweep.png").stat().st_size > 5000
  assert "trial" in (folder / "updates_per_step=1.0.log").read_text()
  lone = folder / "updates_per_step=1.0"
  assert not (lone / "logs.npz").exists(), "--norollouts was not passed on"
  again = sweep(*words)
  assert again.returncode == 0 and again.stdout.count("done before") == 2
  other, wanted = sweep(*words, "--config.agent.tau=0.5"), "the run has 0.005, requested 0.5"
  assert other.returncode == 2 and f"config.agent.tau: {wanted}" in other.stderr


@pytest.mark.slow
def test_a_sweep_is_stopped_and_resumed(tmp_path):
  folder = tmp_path / "sweep"
  words = [
    *TINY,
    "--config.steps=3000",
    f"--logdir={folder}",
    "--sweep.agent.updates_per_step=40,41",
  ]
  command = [sys.executable, "-m", "experiments.sweep", *words]
  process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
  first = RunFolder(folder / "updates_per_step=40.0")
  end = time.monotonic() + 120
  while run_summary.last_step(first) < 50 and time.monotonic() < end:
    time.sleep(0.1)
  process.send_signal(signal.SIGINT)
  output, _ = process.communicate(timeout=60)
  assert process.returncode == 130, output
  assert "stopping: 1 runs save" in output and "stopped; the same command resumes" in output
  assert "stopped by SIGTERM" in (folder / "updates_per_step=40.0.log").read_text()
  reached = run_summary.last_step(first)
  assert 50 <= reached < 3000 and list(first.checkpoints.iterdir())
  done = sweep(*words)
  assert done.returncode == 0, done.stdout + done.stderr
  steps = [int(line.split(",")[0]) for line in first.metrics.read_text().splitlines()[1:]]
  assert steps == list(range(10, 3001, 10)), "the resumed run differs from an uninterrupted one"


@pytest.mark.parametrize(
  ("words", "message"),
  [
    (["--sweep.agent.updates_per_step=1,2"], "--logdir is missing"),
    (["--logdir=x", "--algo=sac", "--sweep.algo=sac,mbpo"], "exclude each other"),
    (["--logdir=x", "--seeds=3", "--devices=2", "--sweep.trials=1,2"], "does not divide"),
    (["--logdir=x", "--sweep.trials=1,0"], "--sweep.trials=0 must be positive"),
  ],
)
@pytest.mark.slow
def test_wrong_usage_ends_with_one_sentence_and_status_two(words, message):
  done = sweep(*words)
  assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_help_lists_the_flags_of_sweep_and_train():
  done = sweep("--help", "--algo=sac")
  for text in ("--sweep.NAME", "--jobs", "--eval_episodes", "--config.agent.updates_per_step"):
    assert text in done.stdout, text
  assert "--[no]resume" not in done.stdout


def test_a_run_with_damaged_files_is_reported_as_failed(tmp_path):
  runs = [schedule.Run(n, RunFolder(tmp_path / n), 20, status=schedule.DONE) for n in "ab"]
  for run in runs:
    run.folder.path.mkdir()
    (run.folder.path / "config.json").write_text('{"algo": "sac", "env": "pendulum"}')
    run.folder.metrics.write_text("step,random,return\n10,0,1\n20,0,2\n")
  runs[0].folder.metrics.write_text("step,random,return\n10,0,x\n20,0,2\n")
  found = results.rows(runs, {"a": {}, "b": {}})
  assert [row["status"] for row in found] == ["failed", "done"] and found[1]["last"] == 2.0
  assert "metrics.csv, line 2: return is 'x'" in results.failures(runs)[0]
  assert results.draw(tmp_path / "sweep.png", runs) == tmp_path / "sweep.png"
